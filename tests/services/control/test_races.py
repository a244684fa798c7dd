"""What two workers do in the same moment. On PostgreSQL: SQLite lets only one write, and hides missing locks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from console.accounts import bounds
from console.accounts.principal import Principal, for_user
from console.errors import Conflict, InvalidFields, Unavailable
from console.models import Tally, Team
from console.web import rates, trouble
from services.actions import keys, places
from services.actions import services as verbs
from services.control.queues import claims, lines
from services.control.replicas import hung as hung_replicas
from services.models import ApiKey, Node, Queue, Replica, Service
from services.policies.amounts import Amount
from tests.services.control.races import at_once, waiting
from tests.services.nvml import FakeNvml, gpu_uuid
from tests.services.watched import Numbers, hung_at
from tests.services.world import World

Make = Callable[..., Service]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]


def claim(service: Service) -> Callable[[], bool]:
    def work() -> bool:
        row = Service.objects.select_related("target", "serving").get(pk=service.pk)
        return claims.claim(row, row.target_revision, range(1)).granted

    return work


def test_two_queues_do_not_give_the_same_node_away(
    world: World, team: Team, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    Queue.objects.create(name="second", cpu=8, memory_gib=8)
    Queue.objects.filter(name="default").update(cpu=8)
    services = [waiting(team, "one", "default", 5), waiting(team, "two", "second", 5)]
    both_have_read = threading.Barrier(2)
    read = claims._make_replicas

    def slowly(*args: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both_have_read.wait(0.5)  # without a lock on the node both come here before either has made its replica
        read(*args)

    monkeypatch.setattr(claims, "_make_replicas", slowly)
    granted = at_once(*(claim(service) for service in services))
    assert sorted(granted) == [False, True], granted
    assert lines.candidates()[0].used == Amount(cpu=5, memory_gib=0.1)
    assert Replica.objects.count() == 1


def test_two_queues_do_not_give_the_same_device_away(
    gpus: FakeNvml, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    Queue.objects.create(name="second", cpu=8, memory_gib=8, gpus={"": 8})
    services = [waiting(team, "one", "default", 0.1, gpu=4), waiting(team, "two", "second", 0.1, gpu=4)]
    both_have_chosen = threading.Barrier(2)
    make = claims._make_replicas

    def slowly(*args: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both_have_chosen.wait(0.5)  # without a lock on the node both come here with the same four
        make(*args)

    monkeypatch.setattr(claims, "_make_replicas", slowly)
    granted = at_once(*(claim(service) for service in services))
    assert sorted(granted) == [False, True], granted
    assert len(Replica.objects.get().devices) == 4


def test_a_device_that_fails_during_a_claim_is_not_given_out(
    gpus: FakeNvml, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report waits for the claim, or the claim for the report."""
    service = waiting(team, "one", "default", 0.1, gpu=6)
    gpus.fail(gpu_uuid(3))
    granted, node = at_once(claim(service), places.report_node)
    assert not isinstance(granted, Exception), granted
    [failed] = [device for device in node.devices if device["problem"]]
    assert failed["uuid"] == gpu_uuid(3)
    assert not claim(waiting(team, "two", "default", 0.1, gpu=6 if not granted else 1))()


def test_many_claims_in_two_queues_never_overbook_and_never_deadlock(world: World, team: Team, node: Node) -> None:
    Queue.objects.create(name="second", cpu=8, memory_gib=8)
    services = [waiting(team, f"s-{number}", ("default", "second")[number % 2], 1.5) for number in range(10)]
    outcomes = at_once(*(claim(service) for service in services), *(lines.announce for _ in range(2)))
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    (candidate,) = lines.candidates()
    assert candidate.used.cpu <= 8 and Replica.objects.filter(revision__spec__queue="default").count() * 1.5 <= 4


@pytest.mark.parametrize("verb", ["create", "edit"])
def test_a_queue_is_not_deleted_under_a_service_that_comes_into_it(
    make: Make, payload: dict[str, Any], team: Team, alice: User, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    queue = Queue.objects.create(name="second", cpu=8, memory_gib=8)
    actor, admin = for_user(alice), for_user(User.objects.create_superuser("root"))
    service = make() if verb == "edit" else None

    def put() -> Service:
        if service is not None:
            return verbs.edit(service, {"queue": "second"}, actor=actor)
        return verbs.create({**payload, "queue": "second"}, team=team, actor=actor)

    both_have_read = threading.Barrier(2)

    def together(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with suppress(threading.BrokenBarrierError):
                both_have_read.wait(0.5)  # without a lock on the queue both come here, and each believes the other away
            return method(*args, **kwargs)

        return call

    monkeypatch.setattr(verbs, "log", together(verbs.log))
    monkeypatch.setattr(verbs, "carry_on", together(verbs.carry_on))
    monkeypatch.setattr(Queue, "delete", together(Queue.delete))
    outcomes = at_once(put, lambda: places.delete_queue(queue, actor=admin))
    [refused] = [one for one in outcomes if isinstance(one, Exception)]
    users = Service.objects.filter(target__spec__queue="second").count()
    assert Queue.objects.filter(name="second").count() == users
    assert isinstance(refused, Conflict if users else InvalidFields), refused


def test_the_last_of_a_teams_bound_is_one(world: World, team: Team, alice: User) -> None:
    bounds.change(team, {"keys": 3}, actor=for_user(User.objects.create_superuser("root")))
    actor = for_user(alice)
    outcomes = at_once(
        *((lambda number=number: keys.create(team=team, name=f"k-{number}", actor=actor)) for number in range(8))
    )
    assert ApiKey.objects.count() == 3
    assert sum(isinstance(one, Conflict) for one in outcomes) == 5, outcomes


def test_a_key_made_below_a_key_that_is_being_revoked_goes_children_to_revoke(
    world: World, team: Team, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = for_user(alice)

    def mint(actor: Principal) -> keys.NewKey:
        return keys.create(team=team, name="k", scopes=["infer", "manage"], actor=actor)

    parent = mint(actor)
    child = mint(keys.principal(parent.row))
    making, listed = threading.Event(), threading.Event()
    share, list_below = keys.key_shares.of, keys._children_to_revoke

    def share_slowly(*args: Any) -> Any:
        making.set()
        listed.wait(0.5)  # without a lock on the keys above, `revoke` lists what is below without this one
        return share(*args)

    def list_and_tell(*args: Any) -> list[ApiKey]:
        rows = list_below(*args)
        listed.set()
        return rows

    def revoke() -> keys.Revoked:
        making.wait(30)
        return keys.revoke(ApiKey.objects.get(pk=parent.row.pk), actor=actor)

    monkeypatch.setattr(keys.key_shares, "of", share_slowly)
    monkeypatch.setattr(keys, "_children_to_revoke", list_and_tell)
    outcomes = at_once(lambda: mint(keys.principal(child.row)), revoke)
    assert not any(isinstance(one, Exception) for one in outcomes), outcomes
    assert ApiKey.objects.count() == 3 and not ApiKey.objects.live().exists()


def test_a_count_at_the_end_of_a_window_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """For some the window is over and its row is removed, while others count in it."""
    now = timezone.now()
    clock = itertools.cycle([now - timedelta(seconds=1), now + timedelta(seconds=1)])
    monkeypatch.setattr(rates, "timezone", SimpleNamespace(now=lambda: next(clock)))
    for _ in range(40):
        Tally.objects.update_or_create(key="k", defaults={"number": 7, "ends_at": now})
        outcomes = at_once(*([lambda: rates.add("k", 60)] * 6))
        assert all(isinstance(one, int) for one in outcomes), outcomes


def test_a_connection_that_the_server_ended_is_an_operational_error(world: World) -> None:
    """What datasets/jobs/rounds.py takes for a database that is away: a round is tried again then."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (mine,) = cursor.fetchone()

    def end() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [mine])

    at_once(end)
    with pytest.raises(OperationalError):
        Service.objects.count()
    connection.close()
    assert Service.objects.count() == 0


def test_who_waits_for_a_row_too_long_is_told_that_the_database_is_busy(world: World, node: Node) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("10s",)

    def wait() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '50ms'")
            Node.objects.select_for_update().get(pk=node.pk)

    with transaction.atomic():
        Node.objects.select_for_update().get(pk=node.pk)
        (error,) = at_once(wait)
    assert isinstance(trouble.explain(error), Unavailable), error


def test_the_watchdog_and_an_edit_do_not_wait_for_each_other(
    numbers: Numbers, actor: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers.active, numbers.answers = 1, False
    both_are_inside = threading.Barrier(2)

    def meet(*_: Any, **__: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both_are_inside.wait(1)

    log, add = hung_replicas.log, verbs.carry_on
    monkeypatch.setattr(hung_replicas, "log", lambda *a, **k: (meet(), log(*a, **k)))
    monkeypatch.setattr(verbs, "carry_on", lambda *a, **k: (meet(), add(*a, **k))[1])
    service = Service.objects.get()
    outcomes = at_once(
        lambda: hung_at(numbers, *range(0, 33, 3)),
        lambda: verbs.edit(service, {"limits": {"concurrency": 4}}, actor=actor),
    )
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert Replica.objects.get().revision.number == 2
