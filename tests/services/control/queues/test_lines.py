"""The line of a queue in the database: who passes whom, what is kept for whom, and how many queries that takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.models import Team
from services import states
from services.control import reconcile, rollout
from services.control.queues import claims, lines
from services.models import Event, Node, Queue, Replica, Revision, Service
from tests.services.world import World

Wait = Callable[..., Service]
SPEC = {
    "framework": "triton",
    "dataset": "models",
    "model_path": "echo",
    "queue": "default",
    "auth": {"policy": "api_key"},
    "affinity": {},
}


@pytest.fixture
def wait(world: World, team: Team) -> Wait:
    """A service that waits in the queue since so many minutes."""

    def make(
        name: str, cpu: float, *, of: Team = team, minutes: float = 0, queue: str = "default", **fields: Any
    ) -> Service:
        now = timezone.now()
        service: Service = Service.objects.create(
            team=of,
            name=name,
            state=states.QUEUED,
            state_since=now,
            queued_at=now - timedelta(minutes=minutes),
            **fields,
        )
        spec = {**SPEC, "queue": queue, "resources": {"cpu": cpu, "memory_gib": 0.01, "gpu": 0, "gpu_type": ""}}
        service.target = Revision.objects.create(service=service, number=1, spec=spec)
        service.save()
        return service

    return make


def run(service: Service) -> Service:
    """It has what it asked for."""
    decision = claims.claim(service, service.target_revision, range(service.replicas))
    assert decision.granted, decision.reason
    fields = {"state": states.READY, "queued_at": None, "serving": service.target}
    Service.objects.filter(pk=service.pk).update(**fields)
    return now(service)


def now(service: Service) -> Service:
    return Service.objects.get(pk=service.pk)


def test_a_claim_that_does_not_fit_stops_nobody(wait: Wait, other_team: Team, world: World) -> None:
    run(wait("running", 1))
    big = wait("big", 3.9)
    small = [wait(f"small-{number}", 0.05, of=other_team) for number in range(20)]
    reconcile.sweep()
    assert {now(one).state for one in small} <= {states.STARTING, states.READY}
    assert now(big).passed == 20
    reconcile.sweep()
    assert now(big).message == ("1st in queue default: needs 3.9 CPU, 2 free. 20 others that fit went ahead.")
    events = Event.objects.filter(service=small[0], new=states.STARTING)
    assert "It went ahead of 1 service that cannot start yet." in events.get().message


def test_after_its_patience_it_comes_first_for_a_while(
    wait: Wait, other_team: Team, world: World, queue: Queue
) -> None:
    running = run(wait("running", 1))
    big = wait("big", 3.9, minutes=11, passed=1)
    small = wait("small", 0.5, of=other_team)
    reconcile.sweep()
    assert now(small).state == states.QUEUED
    queue.refresh_from_db()
    assert f"is kept until {queue.held_until:%H:%M} UTC for a service that has waited longer" in now(small).message
    assert "Freed capacity is reserved for it until" in now(big).message
    Queue.objects.update(held_until=timezone.now() - timedelta(seconds=1))  # there was no room in that time
    reconcile.sweep()
    assert now(small).state in {states.STARTING, states.READY}
    Queue.objects.update(held_until=timezone.now() - timedelta(minutes=10, seconds=1))
    reconcile.sweep()
    Replica.objects.filter(service__in=[running, small]).delete()
    late = wait("late", 0.5, of=other_team)
    reconcile.sweep()
    assert now(big).state in {states.STARTING, states.READY} and now(late).state == states.QUEUED


def test_a_service_does_not_grow_into_what_is_kept(wait: Wait, other_team: Team, queue: Queue) -> None:
    grown = run(wait("grown", 1, of=other_team))
    wait("big", 3.9, minutes=11, passed=1)
    lines.announce()
    grown.serving = grown.target
    assert not claims.claim(grown, grown.target_revision, [1]).granted
    newer = Revision.objects.create(service=grown, number=2, spec=grown.target_revision.spec)
    Service.objects.filter(pk=grown.pk).update(target=newer)
    assert claims.claim(grown, newer, [0]).granted  # a rollout gives back what it takes


def test_the_first_service_of_a_team_does_not_wait_for_many_of_another(wait: Wait, other_team: Team) -> None:
    run(wait("running", 1))
    many = [wait(f"many-{number}", 2, minutes=5) for number in range(10)]
    first = wait("first", 2, of=other_team)
    reconcile.sweep()
    assert now(first).state in {states.STARTING, states.READY}
    assert {now(one).state for one in many} == {states.QUEUED}


def test_two_hundred_that_wait_take_as_many_queries_as_ten(wait: Wait, other_team: Team, node: Node) -> None:
    run(wait("running", 1))

    def queries() -> int:
        reconcile.sweep()  # says where each stands
        with CaptureQueriesContext(connection) as caught:
            reconcile.sweep()
        return len(caught)

    for number in range(10):
        wait(f"a-{number}", 3.5)
    few = queries()
    for number in range(190):
        wait(f"b-{number}", 3.5, of=other_team)
    assert queries() == few <= 22


def test_telling_two_hundred_where_they_stand_takes_few_queries(wait: Wait) -> None:
    run(wait("running", 1))
    for number in range(200):
        wait(f"a-{number}", 3.5)
    with CaptureQueriesContext(connection) as caught:
        lines.announce()
    assert len(caught) <= 20
    assert now(Service.objects.get(name="a-199")).message == "200th in queue default: needs 3.5 CPU, 3 free."


def test_who_stopped_meanwhile_is_not_told_where_it_stands(
    wait: Wait, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(wait("running", 1))
    service = wait("stopped", 3.5)
    stand = lines.admission.rank

    def slowly(*args: Any, **options: Any) -> Any:
        Service.objects.filter(pk=service.pk).update(state=states.STOPPING, message="Stopped by alice.")
        return stand(*args, **options)

    monkeypatch.setattr(lines.admission, "rank", slowly)
    lines.announce()
    assert now(service).message == "Stopped by alice."


def test_a_line_without_a_service_is_as_if_it_ran_nothing(wait: Wait, queue: Queue, node: Node) -> None:
    empty = lines.load(queue).room
    services = [run(wait(name, cpu)) for name, cpu in (("one", 0.3), ("two", 0.7))]
    replica = Replica.objects.get(service=services[0])
    Replica.objects.create(service=services[0], revision=replica.revision, index=1, node=node.name)
    Replica.objects.filter(pk=replica.pk).update(state=Replica.STANDBY)
    room = lines.load(queue).without(services[0]).without(services[1]).room
    for part, whole in ((room.used, empty.used), (room.nodes[0].used, empty.nodes[0].used)):
        assert (part.cpu, part.memory_gib) == pytest.approx((whole.cpu, whole.memory_gib))
    assert lines.load(queue).without(services[0]).room.used.cpu == pytest.approx(0.7)


def test_a_revision_that_waits_for_room_locks_nothing_and_ranks_nobody(
    wait: Wait, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = run(wait("running", 3))
    wait("waiting", 3)
    newer = Revision.objects.create(service=service, number=2, spec=service.target_revision.spec)
    Service.objects.filter(pk=service.pk).update(target=newer)
    service = Service.objects.select_related("serving", "target").get(pk=service.pk)
    monkeypatch.setattr(lines.admission, "rank", lambda *_, **__: pytest.fail("nobody's place was asked for"))
    monkeypatch.setattr(claims, "claim", lambda *_, **__: pytest.fail("there is no room"))
    with CaptureQueriesContext(connection) as caught:
        rollout._claim(service, service.serving, newer)
    assert "There is no room for both revisions at once" in now(service).message
    reads = [one["sql"] for one in caught if 'FROM "services_node"' in one["sql"]]
    assert len(reads) == 1  # with the new revision beside the old one, and in its place
