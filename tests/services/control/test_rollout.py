"""Where two revisions do not fit at once: the old one serves until a person says otherwise, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.accounts.principal import Principal, for_user
from console.errors import Conflict, Forbidden, InvalidFields
from services import states
from services.actions import services as verbs
from services.control import rollout
from services.control.queues import claims
from services.engines import base
from services.engines.base import Observation
from services.gateway.snapshot import Snapshot
from services.models import Event, Node, Queue, Replica, Revision, Service
from services.queries.dashboard import node_uses, queue_uses
from services.specs import RECREATE
from tests.services.world import ALL_BUT_THE_FIRST, World, preheat_all

Make = Callable[..., Service]
FULL = {"cpu": 4}
"""Claim of one replica: all that the queue has."""
ELSEWHERE = {"required": [{"key": "zone", "operator": "In", "values": ["b"]}]}


def edit(service: Service, actor: Principal, **more: Any) -> Service:
    return verbs.edit(service, {"env": {"LEVEL": "2"}, **more}, actor=actor)


def restart(service: Service, actor: Principal, **more: Any) -> Service:
    return verbs.restart(service, actor=actor, **more)


def rollback(service: Service, actor: Principal, **more: Any) -> Service:
    spec = {**service.target.spec, "env": {"LEVEL": "0"}}
    Revision.objects.create(service=service, number=0, spec=spec, dataset=service.target.dataset)
    return verbs.rollback(service, 0, actor=actor, **more)


def serves(service: Service, world: World, number: int) -> bool:
    now = Service.objects.get(pk=service.pk)
    return now.state == states.READY and now.serving.number == number and running(world, number)


def running(world: World, number: int) -> bool:
    return bool([name for name in world.engine.running if name.startswith(f"svc-echo-r{number}-")])


def fail_on(world: World, number: int) -> None:
    world.engine.running[f"svc-echo-r{number}-0"] = Observation(base.FAILED, message="Exited too quickly")


@pytest.mark.parametrize("change", [edit, restart, rollback])
def test_a_change_that_has_no_room_waits_and_the_old_revision_serves(
    change: Callable[..., Service], ready: Make, make: Make, world: World, actor: Principal
) -> None:
    service = ready(replicas=2, resources={"cpu": 2})
    behind = world.converge(make(name="behind", resources={"cpu": 1}))
    change(service, actor)
    service = world.converge(service)
    assert serves(service, world, 1) and not running(world, 2)
    assert service.target.number == 2
    assert "Revision 2 waits, revision 1 serves on. There is no room for both revisions at once." in service.message
    assert world.converge(behind).state == states.QUEUED


@pytest.mark.parametrize("change", [edit, restart, rollback])
def test_a_waiting_revision_starts_once_there_is_room(
    change: Callable[..., Service], ready: Make, world: World, actor: Principal
) -> None:
    service = ready(resources=FULL)
    change(service, actor)
    assert serves(world.converge(service), world, 1)
    Queue.objects.update(cpu=8)
    assert serves(world.converge(service), world, 2)
    assert not running(world, 1)


@pytest.mark.parametrize("change", [edit, restart, rollback])
def test_replaced_now_it_keeps_its_place_and_its_share(
    change: Callable[..., Service], ready: Make, make: Make, world: World, actor: Principal
) -> None:
    service = ready(replicas=2, resources={"cpu": 2})
    behind = world.converge(make(name="behind", resources={"cpu": 0.5}))
    change(service, actor, strategy=RECREATE)
    for _ in range(8):
        world.settle(service, steps=1)
        preheat_all()
        world.settle(behind, steps=1)
        assert Service.objects.get(pk=behind.pk).state == states.QUEUED
        assert Service.objects.get(pk=service.pk).queued_at is None
    assert serves(service, world, 2) and not running(world, 1)
    assert Replica.objects.filter(service=service).count() == 2


def test_the_old_process_ends_before_the_new_one_starts(ready: Make, world: World, actor: Principal) -> None:
    service = ready(resources=FULL)
    restart(service, actor, strategy=RECREATE)
    seen = []
    for _ in range(8):
        world.settle(service, steps=1)
        preheat_all()
        seen.append(sorted(world.engine.running))
    assert not any(len(names) > 1 for names in seen), "both would claim more than the queue has"
    assert seen[-1] == ["svc-echo-r2-0"]


def test_a_service_that_is_being_replaced_says_so_and_gets_no_requests(
    ready: Make, world: World, actor: Principal, published: list[Snapshot]
) -> None:
    service = ready(resources=FULL)
    world.deaf.add(ALL_BUT_THE_FIRST)
    edit(service, actor, strategy=RECREATE)
    service = world.converge(service)
    assert service.state == states.DEGRADED
    assert "Revision 2 is being rolled out" in service.message
    assert not published[-1].services[0].ready


def test_replaced_now_it_takes_no_less_than_both_need_so_that_the_old_one_can_come_back(
    ready: Make, make: Make, world: World, actor: Principal
) -> None:
    service = ready(resources=FULL)
    behind = world.converge(make(name="behind", resources={"cpu": 2}))
    world.deaf.add(ALL_BUT_THE_FIRST)
    edit(service, actor, resources={"cpu": 1}, strategy=RECREATE)
    service = world.converge(service)
    assert running(world, 2) and not running(world, 1)
    assert world.converge(behind).state == states.QUEUED, "4 CPU are kept until 1 CPU is known to do"
    assert claims.used_by_queue()[Queue.objects.get().name].cpu == 4
    (shown,), (node,) = queue_uses(), node_uses()
    assert (shown.running, shown.uses[0].used, node.replicas, node.uses[0].used) == (1, 4, 1, 4)
    fail_on(world, 2)
    world.deaf.clear()
    service = world.converge(service)
    assert serves(service, world, 1) and service.target.number == 1
    assert "Revision 2 failed, revision 1 goes on serving" in service.message
    assert Event.objects.filter(service=service, message="Revision 1 comes back.").exists()


def test_replaced_by_a_smaller_one_the_rest_is_free_once_it_serves(
    ready: Make, make: Make, world: World, actor: Principal
) -> None:
    service = ready(resources=FULL)
    behind = world.converge(make(name="behind", resources={"cpu": 2}))
    edit(service, actor, resources={"cpu": 1}, strategy=RECREATE)
    assert serves(world.converge(service), world, 2)
    assert world.converge(behind).state == states.READY


def test_one_that_needs_more_than_it_would_free_does_not_end_what_serves(
    ready: Make, make: Make, world: World, actor: Principal
) -> None:
    service = ready(resources={"cpu": 2})
    other = ready(name="other", resources={"cpu": 2})
    edit(service, actor, resources={"cpu": 3}, strategy=RECREATE)
    service = world.converge(service)
    assert serves(service, world, 1)
    assert service.message == ("Revision 2 waits, revision 1 serves on. Queue default: needs 3 CPU, 2 free.")
    verbs.stop(other, actor=actor)
    world.converge(other)
    assert serves(world.converge(service), world, 2)


@pytest.mark.parametrize("change", [restart, rollback])
@pytest.mark.parametrize("strategy", ["rolling", RECREATE])
def test_on_a_cordoned_node_the_old_revision_serves_on(
    change: Callable[..., Service], strategy: str, ready: Make, world: World, actor: Principal
) -> None:
    service = ready()
    Node.objects.update(schedulable=False)
    change(service, actor, strategy=strategy)
    service = world.converge(service)
    assert serves(service, world, 1)
    assert "node local is cordoned" in service.message and "both" not in service.message
    Node.objects.update(schedulable=True)
    assert serves(world.converge(service), world, 2)


@pytest.mark.parametrize("strategy", ["rolling", RECREATE])
def test_after_its_node_lost_the_label_it_serves_on(strategy: str, ready: Make, world: World, actor: Principal) -> None:
    service = ready(affinity={"required": [{"key": "zone", "operator": "In", "values": ["a"]}]})
    Node.objects.update(labels={"zone": "c"})
    restart(service, actor, strategy=strategy)
    service = world.converge(service)
    assert serves(service, world, 1)
    assert "zone In [a] does not hold: zone is c" in service.message and "both" not in service.message


@pytest.mark.parametrize("strategy", ["rolling", RECREATE])
def test_after_its_quota_was_lowered_it_serves_on(strategy: str, ready: Make, world: World, actor: Principal) -> None:
    service = ready(resources=FULL)
    Queue.objects.update(cpu=2)
    edit(service, actor, strategy=strategy)
    service = world.converge(service)
    assert serves(service, world, 1)
    assert "Queue default is too small: needs 4 CPU, 2 in all" in service.message and "both" not in service.message


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"affinity": ELSEWHERE}, "affinity.required"),
        ({"resources": {"cpu": 9}}, "resources"),
        ({"resources": {"memory_gib": 20}}, "resources"),
        ({"resources": {"cpu": 5}, "replicas": 2}, "replicas"),
        ({"replicas": 2, "resources": {"memory_gib": 9}, "env": {"A": "b"}}, "replicas"),
    ],
)
def test_a_revision_that_can_never_be_placed_is_refused(
    changes: dict[str, Any], field: str, ready: Make, world: World, actor: Principal
) -> None:
    service = ready()
    Queue.objects.update(cpu=100, memory_gib=100)
    with pytest.raises(InvalidFields) as caught:
        verbs.edit(service, changes, actor=actor)
    assert list(caught.value.errors) == [field]
    assert Revision.objects.count() == 1 and Service.objects.get().replicas == 1


def test_a_rollback_that_can_never_be_placed_is_refused(ready: Make, world: World, actor: Principal) -> None:
    service = ready(resources={"cpu": 4})
    verbs.edit(service, {"resources": {"cpu": 1}}, actor=actor)
    service = world.converge(service)
    Queue.objects.update(cpu=2)
    with pytest.raises(InvalidFields, match="too small"):
        verbs.rollback(service, 1, actor=actor)


def test_what_no_node_could_take_any_more_may_be_edited_in_other_respects(
    ready: Make, world: World, actor: Principal
) -> None:
    service = ready(affinity={"required": [{"key": "zone", "operator": "In", "values": ["a"]}]})
    Node.objects.update(labels={"zone": "c"})
    edit(service, actor)
    assert serves(world.converge(service), world, 1)


def test_scaling_up_that_does_not_fit_keeps_those_that_run(ready: Make, world: World, actor: Principal) -> None:
    service, _ = ready(), ready(name="other", resources={"cpu": 2})
    verbs.scale(service, 4, actor=actor)
    service = world.converge(service)
    assert serves(service, world, 1)
    assert "1 of 4 replicas answer. Queue default: needs 3 CPU, 1 free." in service.message


def test_size_and_number_change_together(ready: Make, world: World, actor: Principal) -> None:
    Queue.objects.update(cpu=8)
    service = ready(resources={"cpu": 8})
    verbs.edit(service, {"replicas": 4, "resources": {"cpu": 2}}, actor=actor)
    service = world.converge(service)
    assert serves(service, world, 1) and len(world.engine.running) == 1
    verbs.replace_now(service, actor=actor)
    assert serves(world.converge(service), world, 2)
    assert len(world.engine.running) == 4


def test_a_failed_change_of_size_and_number_leaves_both_as_they_were(
    ready: Make, world: World, actor: Principal
) -> None:
    Queue.objects.update(cpu=8)
    service = ready(resources={"cpu": 8})
    world.deaf.add(ALL_BUT_THE_FIRST)
    verbs.edit(service, {"replicas": 4, "resources": {"cpu": 2}, "strategy": RECREATE}, actor=actor)
    world.converge(service)
    fail_on(world, 2)
    world.deaf.clear()
    service = world.converge(service)
    assert serves(service, world, 1)
    assert (service.replicas, service.serving_replicas) == (1, None)
    assert list(world.engine.running) == ["svc-echo-r1-0"]


def test_scaling_down_makes_room_for_a_revision_that_waits(ready: Make, world: World, actor: Principal) -> None:
    service = ready(replicas=2, resources={"cpu": 2})
    edit(service, actor)
    assert serves(world.converge(service), world, 1)
    verbs.scale(service, 1, actor=actor)
    assert serves(world.converge(service), world, 2)
    assert list(world.engine.running) == ["svc-echo-r2-0"]


def test_a_waiting_revision_can_be_canceled(ready: Make, world: World, actor: Principal) -> None:
    service = ready(resources=FULL)
    edit(service, actor)
    service = world.converge(service)
    verbs.cancel_rollout(service, actor=actor)
    service = world.converge(service)
    assert serves(service, world, 1)
    assert (service.target.number, service.message) == (1, "")
    assert Revision.objects.get(number=2).note == "Edited (canceled by alice)"


def test_canceled_while_it_takes_the_place_the_old_one_comes_back(ready: Make, world: World, actor: Principal) -> None:
    service = ready(resources=FULL)
    world.deaf.add(ALL_BUT_THE_FIRST)
    edit(service, actor, strategy=RECREATE)
    service = world.converge(service)
    assert running(world, 2)
    world.deaf.clear()
    verbs.cancel_rollout(service, actor=actor)
    assert serves(world.converge(service), world, 1)
    assert not running(world, 2)


def test_an_edit_of_one_that_takes_the_place_brings_the_old_one_back(
    ready: Make, world: World, actor: Principal
) -> None:
    service = ready(resources=FULL)
    world.deaf.add(ALL_BUT_THE_FIRST)
    edit(service, actor, strategy=RECREATE)
    service = world.converge(service)
    world.deaf.clear()
    verbs.edit(service, {"env": {"LEVEL": "3"}}, actor=actor)
    service = world.converge(service)
    assert serves(service, world, 1) and service.target.number == 3
    assert list(world.engine.running) == ["svc-echo-r1-0"]


def test_an_overtaken_revision_gives_its_place_back(ready: Make, world: World, actor: Principal) -> None:
    service = ready(resources={"cpu": 2})
    world.deaf.add(ALL_BUT_THE_FIRST)
    edit(service, actor)
    service = world.converge(service)
    assert running(world, 2)
    world.deaf.clear()
    verbs.edit(service, {"env": {"LEVEL": "3"}}, actor=actor)
    assert serves(world.converge(service), world, 3)


def test_without_a_rollout_there_is_nothing_to_replace_or_cancel(ready: Make, actor: Principal) -> None:
    service = ready()
    for verb in (verbs.replace_now, verbs.cancel_rollout):
        with pytest.raises(Conflict, match="no revision that waits"):
            verb(service, actor=actor)


@pytest.mark.parametrize("verb", [verbs.replace_now, verbs.cancel_rollout])
def test_a_viewer_decides_nothing(
    verb: Callable[..., Service], ready: Make, world: World, actor: Principal, bob: Any
) -> None:
    service = ready(resources=FULL)
    edit(service, actor)
    with pytest.raises(Forbidden):
        verb(world.converge(service), actor=for_user(bob))


def test_an_unknown_strategy_is_said(ready: Make, actor: Principal) -> None:
    with pytest.raises(InvalidFields, match="Must be rolling or recreate"):
        edit(ready(), actor, strategy="now")


def test_a_stop_while_it_is_replaced_ends_everything(ready: Make, world: World, actor: Principal) -> None:
    service = ready(resources=FULL)
    world.deaf.add(ALL_BUT_THE_FIRST)
    edit(service, actor, strategy=RECREATE)
    world.converge(service)
    verbs.stop(service, actor=actor)
    assert world.converge(service).state == states.STOPPED
    assert not Replica.objects.exists() and not world.engine.running


def test_files_that_vanish_while_a_revision_starts_leave_the_old_one_serving(
    ready: Make, world: World, actor: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ready()
    edit(service, actor)
    world.deaf.add(ALL_BUT_THE_FIRST)
    service = world.converge(service)
    world.engine.running.pop("svc-echo-r2-0")
    monkeypatch.setattr(rollout.model_files, "ready", lambda revision: rollout.model_files.Files(ready=True))
    Revision.objects.filter(number=2).update(tree="0" * 64)
    service = world.converge(service)
    assert serves(service, world, 1) and service.target.number == 1
    assert "no longer in the store" in service.message
