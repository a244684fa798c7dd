"""One test per arrow of the state machine, and that running twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from console.accounts.principal import Principal
from datasets.actions import trust
from datasets.actions.rounds import cancel
from datasets.models import Dataset, Round
from services import states
from services.actions import services as verbs
from services.control import reconcile
from services.control.queues import claims
from services.control.replicas import life as replicas
from services.engines import base
from services.engines.base import Observation
from services.models import Event, Queue, Replica, Revision, Service
from tests.services.world import ALL, World

Make = Callable[..., Service]


def test_a_new_service_waits_for_its_files_and_holds_no_quota(make: Make, world: World) -> None:
    service = world.settle(make())
    assert service.state == states.PREHEATING
    assert not Replica.objects.exists()
    assert not world.engine.applied


def test_it_goes_all_the_way_to_ready_with_an_event_for_each_state(ready: Make) -> None:
    service = ready()
    assert service.state == states.READY
    moved = list(Event.objects.filter(service=service, kind="state").order_by("id").values_list("old", "new"))
    assert moved == [
        (states.PREHEATING, states.QUEUED),
        (states.QUEUED, states.STARTING),
        (states.STARTING, states.READY),
    ]


def test_running_it_again_changes_nothing(ready: Make, world: World) -> None:
    service = ready(replicas=2)
    events, applied = Event.objects.count(), list(world.engine.applied)
    assert not reconcile.reconcile(service.pk)
    assert not reconcile.reconcile(service.pk)
    assert (Event.objects.count(), world.engine.applied) == (events, applied)


def test_files_are_read_into_memory_when_a_replica_starts_and_not_again(
    ready: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees: list[Path] = []
    monkeypatch.setattr(replicas, "read_ahead", trees.append)
    service = ready(replicas=2)
    assert [path.name for path in trees] == [Revision.objects.get().tree] * 2
    world.settle(service)
    assert len(trees) == 2


def test_two_replicas_are_two_processes(ready: Make, world: World) -> None:
    ready(replicas=2)
    assert world.engine.applied == ["svc-echo-r1-0", "svc-echo-r1-1"]


def test_it_waits_in_the_queue_with_position_and_reason(ready: Make, make: Make, world: World, queue: Queue) -> None:
    queue.order = "strict"
    queue.save()
    ready(name="first", resources={"cpu": 3})
    second = make(name="second", resources={"cpu": 2})
    third = make(name="third", resources={"cpu": 1})
    for service in (second, third):
        world.preheat(service)
    assert world.settle(second).message == "1st in queue default: needs 2 CPU, 1 free."
    assert world.settle(third).message == "2nd in queue default: waits for those before it."


def test_stopping_one_lets_the_next_in_the_queue_start(ready: Make, make: Make, world: World, actor: Principal) -> None:
    first = ready(name="first", resources={"cpu": 4})
    second = make(name="second")
    world.preheat(second)
    assert world.settle(second).state == states.QUEUED
    verbs.stop(first, actor=actor)
    assert world.settle(first).state == states.STOPPED
    assert world.settle(second).state == states.READY


def test_no_node_matches_is_said_in_words(make: Make, world: World) -> None:
    rule = {"key": "gpu.product", "operator": "In", "values": ["NVIDIA-H200"]}
    service = world.preheat(make(affinity={"required": [rule]}))
    service = world.settle(service)
    assert service.state == states.QUEUED
    assert "gpu.product In [NVIDIA-H200] does not hold: there is no label gpu.product" in service.message


def test_one_that_no_node_can_ever_take_blocks_nobody(make: Make, world: World) -> None:
    never = make(name="never", affinity={"required": [{"key": "zone", "operator": "In", "values": ["z"]}]})
    behind = make(name="behind")
    for service in (never, behind):
        world.preheat(service)
    assert world.settle(never).state == states.QUEUED
    assert world.settle(behind).state == states.READY


def test_one_that_does_not_answer_yet_is_said_to_be_starting_rather_than_broken(make: Make, world: World) -> None:
    service = world.preheat(make())
    world.deaf.add(ALL)
    service = world.settle(service)
    assert service.state == states.STARTING
    assert service.message == "0 of 1 replicas answer. Starting."


def test_a_model_that_gives_up_fails_with_the_end_of_its_log(make: Make, world: World) -> None:
    service = world.preheat(make())
    world.deaf.add(ALL)
    world.settle(service)
    world.engine.log = "line one\nValueError: the weights are missing"
    world.engine.running["svc-echo-r1-0"] = Observation(base.FAILED, message="Exited too quickly")
    service = world.settle(service)
    assert service.state == states.FAILED
    event = Event.objects.filter(service=service, new=states.FAILED).get()
    assert "the weights are missing" in event.detail


def test_a_failed_service_gives_its_quota_back(make: Make, world: World) -> None:
    test_a_model_that_gives_up_fails_with_the_end_of_its_log(make, world)
    assert not Replica.objects.exists()
    assert world.engine.stopped == ["svc-echo-r1-0"]


def test_a_replica_that_does_not_answer_makes_it_degraded_and_back(ready: Make, world: World) -> None:
    service = ready(replicas=2)
    replica = Replica.objects.get(index=1)
    world.deaf.add(replica.process_name)
    service = world.settle(service)
    assert service.state == states.DEGRADED
    assert service.message.startswith("1 of 2 replicas answer. Replica 1:")
    world.deaf.clear()
    assert world.settle(service).state == states.READY


def test_a_crash_is_an_event_with_the_log_of_before(ready: Make, world: World) -> None:
    service = ready()
    world.engine.log = "Segmentation fault"
    world.engine.restart("svc-echo-r1-0")
    world.settle(service)
    assert Replica.objects.get().restarts == 1
    assert Event.objects.filter(service=service, kind="replica").get().detail == "Segmentation fault"


def test_a_start_of_the_whole_product_is_no_crash_of_its_replicas(ready: Make, world: World) -> None:
    service = ready()
    world.engine.restart("svc-echo-r1-0")  # with the console, while nobody looked
    replicas.forget_processes()
    assert world.settle(service).state == states.READY
    assert (Replica.objects.get().restarts, Event.objects.filter(kind="replica").count()) == (0, 0)
    world.engine.restart("svc-echo-r1-0")
    world.settle(service)
    assert Replica.objects.get().restarts == 1


def test_a_process_that_the_engine_forgot_is_started_again(ready: Make, world: World) -> None:
    service = ready()
    world.engine.running.clear()
    world.settle(service)
    assert list(world.engine.running) == ["svc-echo-r1-0"]


def test_a_cancelled_preheat_fails_the_service_and_start_tries_again(
    make: Make, world: World, actor: Principal
) -> None:
    service = make()
    world.settle(service)
    cancel(Round.objects.get(), actor=actor)
    service = world.settle(service)
    assert service.state == states.FAILED
    assert "cancelled" in service.message.lower()
    verbs.start(service, actor=actor)
    world.preheat(service)
    assert world.settle(service).state == states.READY


def test_start_after_a_failure_serves_the_files_as_they_are_now(
    make: Make, world: World, actor: Principal, dataset: Dataset
) -> None:
    service = world.preheat(make())
    world.deaf.add(ALL)
    world.settle(service)
    world.engine.running["svc-echo-r1-0"] = Observation(base.FAILED, message="NameError in 1/model.py")
    assert world.settle(service).state == states.FAILED
    broken = Revision.objects.get().tree
    (Path(dataset.options["path"]) / "echo" / "1" / "model.py").write_text("class TritonPythonModel:\n    mended = 1\n")
    world.deaf.clear()
    trust.trust(dataset, actor=actor, later_changes=True)
    service.refresh_from_db()
    verbs.start(service, actor=actor)
    world.preheat(service)
    assert world.settle(service).state == states.READY
    assert Revision.objects.get().tree not in {broken, ""}


def test_one_that_does_not_get_ready_in_time_fails(make: Make, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    service = world.preheat(make())
    world.deaf.add(ALL)
    world.settle(service)
    Replica.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert world.settle(service).state == states.FAILED


def test_the_form_counts_those_ahead_as_the_queue_does(make: Make, world: World) -> None:
    nowhere = [{"key": "zone", "operator": "In", "values": ["nowhere"]}]
    world.converge(make(name="stuck", affinity={"required": nowhere}))
    spec = Service.objects.get().target.parsed()
    decision = claims.preview(spec, 1, 0)
    assert decision is not None and decision.granted


def test_a_queue_that_vanished_is_named(make: Make, world: World) -> None:
    service = world.preheat(make())
    Queue.objects.all().delete()
    assert "Queue default is gone" in world.settle(service).message


def test_a_service_that_another_worker_holds_is_left_alone(make: Make) -> None:
    service = make()
    Service.objects.update(lease_until=timezone.now() + timedelta(seconds=30))
    assert not reconcile.reconcile(service.pk)
    assert not Round.objects.exists()


def test_a_process_without_a_row_is_ended(ready: Make, world: World) -> None:
    ready()
    world.engine.running["svc-ghost-r1-0"] = Observation(base.RUNNING, pid=7)
    assert reconcile.end_unknown() == ["svc-ghost-r1-0"]


def test_a_dataset_that_is_gone_is_named(make: Make, world: World) -> None:
    service = make()
    Dataset.objects.all().delete()
    service = world.settle(service)
    assert service.state == states.FAILED
    assert "Dataset models is gone" in service.message


def test_a_replica_that_ended_leaves_its_log_but_no_working_directory(
    ready: Make, world: World, actor: Principal
) -> None:
    service = ready()
    folder, stray = (settings.HOME.replicas / name for name in ("svc-echo-r1-0", "svc-ghost-r1-0"))
    for each in (folder, stray):
        (each / "models").mkdir(parents=True)
    (folder / "models" / "echo").symlink_to(settings.HOME.store)
    verbs.stop(service, actor=actor)
    world.settle(service)
    assert not folder.exists() and settings.HOME.store.exists()
    world.engine.running["svc-ghost-r1-0"] = Observation(base.RUNNING)
    reconcile.end_unknown()
    assert not stray.exists()


def test_files_that_vanish_while_it_starts_fail_it(make: Make, world: World) -> None:
    service = world.preheat(make())
    service = world.settle(service, steps=2)
    assert service.state == states.STARTING
    Revision.objects.update(tree="0" * 64)
    service = world.settle(service)
    assert service.state == states.FAILED
    assert "no longer in the store" in service.message


def test_a_degraded_service_can_be_mended_by_an_edit(ready: Make, world: World, actor: Principal) -> None:
    service = ready(replicas=2)
    world.deaf.add("svc-echo-r1-1")
    service = world.settle(service)
    assert service.state == states.DEGRADED
    verbs.edit(service, {"env": {"LEVEL": "2"}}, actor=actor)
    service = world.converge(service)
    assert service.state == states.READY
    assert service.serving is not None
    assert service.serving.number == 2
