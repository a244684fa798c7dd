"""The devices of replicas, from the claim to the process: chosen once, kept, never shared, and not while they fail."""

from __future__ import annotations

from collections.abc import Callable

import pynvml
import pytest

from console.accounts.principal import Principal
from services import states
from services.actions import places
from services.actions import services as verbs
from services.control.queues import claims, lines
from services.control.replicas import life
from services.engines import base
from services.engines.base import Observation
from services.models import Node, Queue, Replica, Service
from services.specs import RECREATE, ReplicaSpec
from tests.services.nvml import HALF, WHOLE, FakeNvml, gpu_uuid, mig_uuid
from tests.services.world import ALL_BUT_THE_FIRST, World, preheat_all

Make = Callable[..., Service]


@pytest.fixture
def started(world: World, gpus: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> dict[str, ReplicaSpec]:
    """How each process was started last."""
    specs: dict[str, ReplicaSpec] = {}
    apply = world.engine.apply

    def remember(spec: ReplicaSpec) -> None:
        specs[spec.name] = spec
        apply(spec)

    monkeypatch.setattr(world.engine, "apply", remember)
    return specs


def uuids(service: Service, number: int) -> list[str]:
    rows = Replica.objects.filter(service=service, revision__number=number).order_by("index")
    return [uuid for row in rows for uuid in row.devices]


def whole(count: int, kind: str = WHOLE) -> dict[str, object]:
    return {"gpu": count, "gpu_type": kind, "cpu": 0.1, "memory_gib": 0.1}


def running_devices(world: World) -> list[str]:
    """What the rows of all processes that run say."""
    rows = [row for row in Replica.objects.all() if row.process_name in world.engine.running]
    return [uuid for row in rows for uuid in row.devices]


def test_the_row_says_which_and_the_process_sees_these_only(ready: Make, started: dict[str, ReplicaSpec]) -> None:
    service = ready(resources=whole(2), replicas=2)
    assert service.state == states.READY
    assert uuids(service, 1) == [gpu_uuid(number) for number in range(4)]
    second = started["svc-echo-r1-1"]
    assert second.launch.env["CUDA_VISIBLE_DEVICES"] == f"{gpu_uuid(2)},{gpu_uuid(3)}"
    assert [str(path) for path in second.devices] == ["/dev/nvidia2", "/dev/nvidia3"]


def test_a_mig_instance_is_a_device_of_its_own_product(ready: Make, started: dict[str, ReplicaSpec]) -> None:
    service = ready(resources=whole(1, HALF))
    assert uuids(service, 1) == [mig_uuid(6, 0)]
    spec = started["svc-echo-r1-0"]
    assert spec.launch.env["CUDA_VISIBLE_DEVICES"] == mig_uuid(6, 0)
    assert [str(path) for path in spec.devices] == [
        "/dev/nvidia6",
        "/dev/nvidia-caps/nvidia-cap61",
        "/dev/nvidia-caps/nvidia-cap601",
    ]


def test_a_replica_without_gpus_sees_none(ready: Make, started: dict[str, ReplicaSpec]) -> None:
    service = ready()
    assert uuids(service, 1) == []
    assert started["svc-echo-r1-0"].launch.env["CUDA_VISIBLE_DEVICES"] == ""
    assert started["svc-echo-r1-0"].devices == ()


def test_a_process_that_ends_comes_back_with_its_devices(
    ready: Make, world: World, started: dict[str, ReplicaSpec]
) -> None:
    service = ready(resources=whole(2))
    before = started.pop("svc-echo-r1-0")
    del world.engine.running["svc-echo-r1-0"]
    assert world.converge(service).state == states.READY
    assert started["svc-echo-r1-0"].launch.env["CUDA_VISIBLE_DEVICES"] == before.launch.env["CUDA_VISIBLE_DEVICES"]


def test_a_restart_with_room_beside_gets_others_and_gives_the_first_ones_back(
    ready: Make, world: World, actor: Principal, gpus: FakeNvml
) -> None:
    service = ready(resources=whole(2))
    verbs.restart(service, actor=actor)
    assert world.converge(service).serving.number == 2
    assert uuids(service, 2) == [gpu_uuid(2), gpu_uuid(3)] and uuids(service, 1) == []


def test_a_revision_that_finds_a_full_node_waits(ready: Make, world: World, actor: Principal, gpus: FakeNvml) -> None:
    service = ready(resources=whole(4))
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    assert service.serving.number == 1 and uuids(service, 2) == []
    assert f"needs 4 GPU {WHOLE}, 2 free" in service.message


def test_a_revision_that_takes_the_place_of_another_takes_its_devices_when_that_one_has_ended(
    ready: Make, world: World, actor: Principal, gpus: FakeNvml
) -> None:
    service = ready(resources=whole(4))
    verbs.restart(service, actor=actor, strategy=RECREATE)
    for _ in range(12):
        service = world.settle(service, steps=1)
        preheat_all()
        used = running_devices(world)
        assert len(used) == len(set(used)), "two processes share a device"
    assert service.serving.number == 2
    assert uuids(service, 2) == [gpu_uuid(number) for number in range(4)] and uuids(service, 1) == []


def test_one_that_comes_back_comes_back_with_its_devices(
    ready: Make, make: Make, world: World, actor: Principal, gpus: FakeNvml
) -> None:
    service = ready(resources=whole(4))
    behind = world.converge(make(name="behind", resources=whole(4)))
    world.deaf.add(ALL_BUT_THE_FIRST)
    verbs.restart(service, actor=actor, strategy=RECREATE)
    service = world.converge(service)
    assert uuids(service, 1) == uuids(service, 2), "of one on standby and the one in its place, one runs"
    assert world.converge(behind).state == states.QUEUED
    assert lines.candidates()[0].used.gpus == {WHOLE: 4}
    world.engine.running["svc-echo-r2-0"] = Observation(base.FAILED, message="Exited too quickly")
    world.deaf.clear()
    service = world.converge(service)
    assert service.state == states.READY and service.serving.number == 1
    assert uuids(service, 1) == [gpu_uuid(number) for number in range(4)] and uuids(service, 2) == []


def test_devices_of_a_replica_that_drains_are_not_taken_over(
    ready: Make, world: World, actor: Principal, gpus: FakeNvml
) -> None:
    service = ready(resources=whole(2), replicas=3)
    Replica.objects.filter(index=2).update(state=Replica.DRAINING)
    target = service.target_revision
    service = verbs.restart(service, actor=actor, strategy=RECREATE)
    service.refresh_from_db()
    decision = claims.take_over(
        service, service.target_revision, lambda: life.stand_by(service.replica_set.filter(revision=target))
    )
    assert not decision.granted and "has no 2 GPUs" in decision.reason
    assert not Replica.objects.filter(state=Replica.STANDBY).exists(), "nothing has changed"
    assert not Replica.objects.filter(revision=service.target_revision).exists()


def test_one_that_fails_is_not_given_out_and_is_out_of_the_arithmetic(
    ready: Make, make: Make, world: World, gpus: FakeNvml
) -> None:
    gpus.fail(gpu_uuid(0))
    gpus.fail(gpu_uuid(5))
    node = places.report_node()
    assert node.gpus[WHOLE] == 4
    service = ready(resources=whole(1), replicas=4)
    assert uuids(service, 1) == [gpu_uuid(number) for number in (1, 2, 3, 4)]
    waits = world.converge(make(name="more", resources=whole(1)))
    assert waits.state == states.QUEUED and f"needs 1 GPU {WHOLE}, 0 free" in waits.message


def test_one_that_fails_under_a_replica_frees_nothing_and_takes_nothing(
    ready: Make, world: World, gpus: FakeNvml
) -> None:
    ready(resources=whole(4))
    gpus.fail(gpu_uuid(0))
    node = places.report_node()
    (candidate,) = lines.candidates()
    assert (node.gpus[WHOLE], candidate.used.gpus[WHOLE]) == (5, 3), "two are free, as before"


def test_what_is_counted_but_has_failed_since_is_a_refusal_with_a_sentence(
    make: Make, world: World, gpus: FakeNvml
) -> None:
    node = Node.objects.get()
    node.devices = [{**each, "problem": "NVML: GPU is lost."} for each in node.devices]
    node.save()
    service = world.converge(make(resources=whole(1)))
    assert service.state == states.QUEUED
    assert service.message == f"Node local has no GPU {WHOLE} left for each replica that is free and works."


def test_a_node_that_has_not_reported_since_the_upgrade_gives_none(make: Make, world: World, gpus: FakeNvml) -> None:
    Node.objects.update(devices=[])
    service = world.converge(make(resources=whole(1)))
    assert service.message == "Node local has not reported its GPUs one by one yet."
    places.report_node()
    assert world.converge(service).state == states.READY


def test_a_replica_whose_device_has_failed_starts_again_with_another(
    ready: Make, world: World, started: dict[str, ReplicaSpec], gpus: FakeNvml
) -> None:
    service = ready(resources=whole(2))
    gpus.fail(gpu_uuid(1))
    places.report_node()
    assert world.converge(service).state == states.READY and uuids(service, 1) == [gpu_uuid(0), gpu_uuid(1)]
    del world.engine.running["svc-echo-r1-0"]
    assert world.converge(service).state == states.READY
    assert uuids(service, 1) == [gpu_uuid(0), gpu_uuid(2)]
    assert started["svc-echo-r1-0"].launch.env["CUDA_VISIBLE_DEVICES"] == f"{gpu_uuid(0)},{gpu_uuid(2)}"


def test_without_another_it_says_so_and_starts_once_the_device_is_back(
    ready: Make, world: World, gpus: FakeNvml
) -> None:
    service = ready(resources=whole(6))
    gpus.fail(gpu_uuid(1))
    places.report_node()
    del world.engine.running["svc-echo-r1-0"]
    world.converge(service)
    message = Replica.objects.get().message
    assert message.startswith("GPU-00000001 has failed: NVML: GPU is lost. Node local has no 6 GPUs"), message
    assert not world.engine.running
    gpus.fail(gpu_uuid(1), error=0)
    places.report_node()
    assert world.converge(service).state == states.READY


def test_a_replica_of_an_earlier_release_gets_its_devices_when_it_starts(
    ready: Make, make: Make, world: World, gpus: FakeNvml
) -> None:
    service = ready(resources=whole(2))
    Replica.objects.update(devices=[])
    assert lines.candidates()[0].used.gpus == {WHOLE: 2}, "it counts by what it claims"
    other = world.converge(make(name="other", resources=whole(4)))
    assert other.state == states.READY
    del world.engine.running["svc-echo-r1-0"]
    assert world.converge(service).state == states.READY
    assert uuids(service, 1) == [gpu_uuid(4), gpu_uuid(5)]


def test_no_process_starts_while_another_one_of_its_service_has_its_device(
    ready: Make, world: World, gpus: FakeNvml
) -> None:
    service = ready(resources=whole(1))
    row = Replica.objects.get()
    other = Replica.objects.create(
        service=service, revision=row.revision, index=1, node="local", devices=row.devices, state=Replica.PENDING
    )
    life.refresh(other)
    assert (other.state, other.message) == (Replica.UNREADY, "Revision 1 still uses the GPU of replica 1.")
    assert list(world.engine.running) == ["svc-echo-r1-0"]


def test_nvml_that_fails_as_a_whole_takes_all_out_and_forgets_none(ready: Make, world: World, gpus: FakeNvml) -> None:
    ready(resources=whole(1))
    gpus.init_error = pynvml.NVML_ERROR_UNKNOWN
    node = places.report_node()
    assert node.gpus == {} and len(node.devices) == 11
    assert {each["problem"] for each in node.devices} == {"NVML: Unknown Error."}
    gpus.init_error = 0
    assert places.report_node().gpus[WHOLE] == 6


def test_queues_of_any_type_and_of_a_product_share_the_devices(make: Make, world: World, gpus: FakeNvml) -> None:
    """What was claimed as any type counts on the node as what it is."""
    Queue.objects.create(name="second", cpu=9, memory_gib=9, gpus={"": 99})
    first = world.converge(make(resources=whole(6, ""), queue="second"))
    assert first.state == states.READY and lines.candidates()[0].used.gpus == {WHOLE: 6}
    service = world.converge(make(name="named", resources=whole(1)))
    assert f"needs 1 GPU {WHOLE}, 0 free" in service.message
