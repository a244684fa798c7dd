"""What only the gateway, the console or placement reads is a revision of its own, and restarts no replica."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from console.accounts.principal import Principal
from console.errors import InvalidFields
from datasets.models import Dataset, Round
from services import states
from services.actions import services as verbs
from services.control import publishing
from services.control.revisions import carrier_of
from services.engines import base
from services.engines.base import Observation
from services.gateway.snapshot import GatewayService
from services.models import Event, Queue, Replica, Revision, Service
from services.parsing import parse_spec
from services.policies import workload
from services.specs import Affinity, Auth, Cors, Resources, Rule, ServiceLimits, ServiceSpec
from tests.services.world import ALL, ALL_BUT_THE_FIRST, World

Make = Callable[..., Service]
IN_A = {"required": [{"key": "zone", "operator": "In", "values": ["a"]}]}
CHANGES: dict[str, dict[str, Any]] = {
    "policy": {"auth": {"policy": "public"}},
    "header": {"auth": {"header": "x-tenant-key"}},
    "parameters": {"auth": {"parameters": [{"name": "x-tenant", "value": "blue"}]}},
    "limits": {"limits": {"concurrency": 4, "timeout_seconds": 9, "max_payload_mib": 1}},
    "stall": {"limits": {"stall_seconds": 60}},
    "affinity": {"affinity": IN_A},
    "queue": {"queue": "other"},
    "description": {"description": "Reads digits."},
    "all": {"auth": {"header": "x-t"}, "limits": {"concurrency": 1}, "affinity": IN_A, "queue": "other"},
}


@pytest.fixture(autouse=True)
def other(world: World) -> Queue:
    return Queue.objects.create(name="other", cpu=4, memory_gib=8)


def published_service() -> GatewayService:
    return publishing.snapshot().services[0]


def number(service: Service) -> tuple[int, int]:
    now = Service.objects.get(pk=service.pk)
    return now.serving.number, now.target.number


@pytest.mark.parametrize("change", CHANGES)
def test_no_replica_is_restarted(change: str, ready: Make, world: World, actor: Principal, dataset: Dataset) -> None:
    service = ready(replicas=2)
    shutil.rmtree(dataset.options["path"])  # files are not looked at, so they may be gone
    pids = list(Replica.objects.values_list("pk", "pid", "state"))
    verbs.edit(service, CHANGES[change], actor=actor)
    service = world.converge(service)
    assert (service.state, number(service)) == (states.READY, (2, 2))
    assert list(Replica.objects.values_list("pk", "pid", "state")) == pids
    assert set(Replica.objects.values_list("revision__number", flat=True)) == {2}
    assert (len(world.engine.applied), world.engine.stopped) == (2, [])
    assert Round.objects.count() == 1
    assert published_service().ready and len(published_service().endpoints) == 2


@pytest.mark.parametrize("change", ["policy", "limits"])
def test_a_rollback_across_it_restarts_nothing(change: str, ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    before = published_service()
    verbs.edit(service, CHANGES[change], actor=actor)
    service = world.converge(service)
    assert published_service() != before
    verbs.rollback(service, 1, actor=actor)
    service = world.converge(service)
    assert number(service) == (3, 3)
    assert replace(published_service(), revision=1) == before
    assert world.engine.applied == ["svc-echo-r1-0"]


def test_the_gateway_is_told_at_once(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    verbs.edit(service, {"auth": {"policy": "public"}, "limits": {"concurrency": 4}}, actor=actor)
    assert published_service().public and published_service().concurrency == 4 and published_service().ready


def test_a_restart_is_new_processes_all_the_same(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    verbs.edit(service, CHANGES["limits"], actor=actor)
    service = world.converge(service)
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    assert list(world.engine.running) == ["svc-echo-r3-0"]
    verbs.edit(service, CHANGES["policy"], actor=actor)
    verbs.scale(service, 2, actor=actor)
    service = world.converge(service)
    assert list(world.engine.running) == ["svc-echo-r3-0", "svc-echo-r3-1"]


@pytest.mark.parametrize(
    "changes", [{"env": {"A": "b"}}, {"resources": {"cpu": 0.5}}, {"framework_config": {"max_batch_size": 0}}]
)
def test_what_a_replica_is_started_with_restarts_it(
    changes: dict[str, Any], ready: Make, world: World, actor: Principal
) -> None:
    service = ready(framework_config={"max_batch_size": 4} if "framework_config" in changes else {})
    verbs.edit(service, {**changes, **CHANGES["limits"]}, actor=actor)
    world.converge(service)
    assert list(world.engine.running) == ["svc-echo-r2-0"]


def test_access_holds_at_once_while_a_revision_waits_for_room(ready: Make, world: World, actor: Principal) -> None:
    service = ready(resources={"cpu": 4}, auth={"policy": "public"})
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    assert number(service) == (1, 2)
    verbs.edit(service, {"auth": {"policy": "api_key"}}, actor=actor)
    assert not published_service().public and published_service().ready
    service = world.converge(service)
    assert number(service) == (1, 3)
    Queue.objects.update(cpu=8)
    service = world.converge(service)
    assert (number(service), list(world.engine.running)) == ((3, 3), ["svc-echo-r2-0"])


def test_access_holds_at_once_although_the_model_is_changed_too(ready: Make, world: World, actor: Principal) -> None:
    service = ready(auth={"policy": "public"})
    world.deaf.add(ALL_BUT_THE_FIRST)
    verbs.edit(service, {"auth": {"policy": "api_key"}, "env": {"LEVEL": "2"}}, actor=actor)
    service = world.converge(service)
    assert number(service) == (1, 2)
    assert not published_service().public


def test_a_model_that_does_not_start_opens_nothing_again(ready: Make, world: World, actor: Principal) -> None:
    service = ready(auth={"policy": "public"})
    world.deaf.add(ALL_BUT_THE_FIRST)
    verbs.edit(service, {"auth": {"policy": "api_key"}, "env": {"LEVEL": "2"}}, actor=actor)
    service = world.converge(service)
    world.engine.running["svc-echo-r2-0"] = Observation(base.FAILED, message="Exited too quickly")
    service = world.converge(service)
    assert (service.state, number(service)) == (states.READY, (3, 3))
    assert not published_service().public and published_service().ready
    assert service.target.spec["env"] == {} and service.target.note == "Access and limits of revision 2"
    assert "Revision 2 failed, revision 3 goes on serving" in service.message
    assert list(world.engine.running) == ["svc-echo-r1-0"]


def test_a_rollback_of_a_revision_that_waits_needs_no_new_processes(
    ready: Make, world: World, actor: Principal
) -> None:
    service = ready(resources={"cpu": 4})
    verbs.edit(service, {"env": {"A": "b"}}, actor=actor)
    service = world.converge(service)
    verbs.rollback(service, 1, actor=actor)
    service = world.converge(service)
    assert (number(service), world.engine.applied) == ((3, 3), ["svc-echo-r1-0"])


def test_in_a_full_queue_a_service_serves_on_where_it_is(
    ready: Make, world: World, actor: Principal, other: Queue
) -> None:
    busy = ready(name="busy", queue="other", resources={"cpu": 4})
    service = ready()
    verbs.edit(service, {"queue": "other", "limits": {"concurrency": 4}}, actor=actor)
    service = world.converge(service)
    assert number(service) == (1, 2)
    assert service.message == "Revision 2 waits, revision 1 serves on. Queue other: needs 1 CPU, 0 free."
    assert next(one for one in publishing.snapshot().services if one.name == "echo").concurrency == 4
    verbs.stop(busy, actor=actor)
    world.converge(busy)
    service = world.converge(service)
    assert number(service) == (2, 2)
    assert world.engine.applied == ["svc-busy-r1-0", "svc-echo-r1-0"]
    assert not Replica.objects.in_queue("default").exists()


def test_a_queue_that_is_too_small_is_refused(ready: Make, actor: Principal, other: Queue) -> None:
    Queue.objects.filter(pk=other.pk).update(cpu=0.5)
    with pytest.raises(InvalidFields, match="Queue other is too small"):
        verbs.edit(ready(), {"queue": "other"}, actor=actor)


def test_a_rule_that_its_node_does_not_satisfy_needs_new_processes(ready: Make, actor: Principal) -> None:
    service = ready()
    elsewhere = {"required": [{"key": "zone", "operator": "In", "values": ["b"]}]}
    assert carrier_of(service, parse_spec({**service.target.spec, "affinity": IN_A})) == service.target
    assert carrier_of(service, parse_spec({**service.target.spec, "affinity": elsewhere})) is None


def test_one_that_is_starting_goes_on_starting(make: Make, world: World, actor: Principal) -> None:
    service = world.preheat(make())
    world.deaf.add(ALL)
    assert world.settle(service).state == states.STARTING
    verbs.edit(service, CHANGES["policy"], actor=actor)
    assert Service.objects.get().state == states.STARTING
    world.deaf.clear()
    service = world.converge(service)
    assert (service.state, number(service)) == (states.READY, (2, 2))
    assert world.engine.applied == ["svc-echo-r1-0"] and published_service().public


def test_one_that_waits_keeps_its_place(ready: Make, make: Make, world: World, actor: Principal) -> None:
    ready(name="busy", resources={"cpu": 4})
    service = world.converge(make())
    since = service.queued_at
    verbs.edit(service, CHANGES["limits"], actor=actor)
    now = Service.objects.get(pk=service.pk)
    assert (now.state, now.queued_at) == (states.QUEUED, since)


def test_one_that_prepares_its_files_goes_on_preparing(make: Make, world: World, actor: Principal) -> None:
    service = make()
    world.settle(service)
    verbs.edit(service, {"limits": {"concurrency": 4}, "queue": "other"}, actor=actor)
    service = world.converge(service)
    assert (service.state, number(service), Round.objects.count()) == (states.READY, (2, 2), 1)


def test_it_says_that_nothing_is_restarted(ready: Make, actor: Principal) -> None:
    service = ready()
    verbs.edit(service, CHANGES["limits"], actor=actor)
    assert Event.objects.filter(service=service, message="Edited: revision 2. No replica is restarted.").exists()
    assert Revision.objects.get(number=2).launch == 1


def test_every_field_of_a_spec_is_known_to_change_what_runs_or_not() -> None:
    old = ServiceSpec("triton", "models", "echo", "default")
    other: dict[str, Any] = {
        "framework": "vllm",
        "dataset": "b",
        "model_path": "b",
        "queue": "b",
        "resources": Resources(cpu=2),
        "auth": Auth("public"),
        "cors": Cors(("*",)),
        "limits": ServiceLimits(concurrency=2),
        "affinity": Affinity((Rule("a", "Exists"),)),
        "framework_config": {"b": 1},
        "env": {"B": "c"},
        "description": "b",
    }
    restarting = {"framework", "dataset", "model_path", "resources", "framework_config", "env"}
    for name in (field.name for field in fields(ServiceSpec)):
        changed = replace(old, **{name: other[name]})
        assert workload.same_processes(old, changed) == (name not in restarting), name


def test_the_working_copy_of_a_moved_folder_is_not_needed(ready: Make, actor: Principal, dataset: Dataset) -> None:
    service = ready()
    shutil.move(dataset.options["path"], Path(dataset.options["path"]).with_suffix(".away"))
    verbs.edit(service, {"dataset": dataset.name, "auth": {"policy": "public"}}, actor=actor)
    assert published_service().public
