"""Queues and nodes: administrators change them, the node reports itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from console.accounts.principal import SYSTEM, Principal, for_user
from console.errors import Conflict, Forbidden, InvalidFields
from datasets.actions.rounds import request_round
from datasets.models import Dataset, Round
from services.actions import places
from services.actions import services as verbs
from services.control.queues import claims
from services.models import Node, Queue, Service
from services.policies.amounts import Amount
from tests.services.world import World


def test_only_an_administrator_makes_a_queue(alice: User) -> None:
    with pytest.raises(Forbidden):
        places.create_queue(name="gpu", cpu=1, memory_gib=1, gpus={}, actor=for_user(alice))
    assert not Queue.objects.exists()


@pytest.mark.django_db
def test_a_quota_must_be_numbers_and_gpu_counts() -> None:
    with pytest.raises(InvalidFields) as caught:
        places.create_queue(name="GPU", cpu=-1, memory_gib=1, gpus={"H200": "two"}, actor=SYSTEM)  # type: ignore[dict-item]
    assert set(caught.value.errors) == {"name", "cpu", "gpus"}


@pytest.mark.django_db
def test_a_name_in_use_is_said() -> None:
    places.create_queue(name="gpu", cpu=1, memory_gib=1, gpus={}, actor=SYSTEM)
    with pytest.raises(InvalidFields, match="already a queue"):
        places.create_queue(name="gpu", cpu=1, memory_gib=1, gpus={}, actor=SYSTEM)


def test_a_queue_in_use_is_not_deleted(ready: Callable[..., Service], queue: Queue) -> None:
    ready()
    with pytest.raises(Conflict, match="used by echo"):
        places.delete_queue(queue, actor=SYSTEM)


def test_a_lower_quota_ends_nothing(ready: Callable[..., Service], world: World, queue: Queue) -> None:
    service = ready()
    places.edit_queue(queue, {"cpu": 0.5}, actor=SYSTEM)
    assert world.settle(service).state == "READY"
    assert claims.used_by_queue()[queue.name] == Amount(cpu=1, memory_gib=1)


@pytest.mark.django_db
def test_a_node_reports_what_it_has_and_keeps_an_administrators_labels() -> None:
    node = places.report_node()
    assert node.labels["cpu"].isdigit()
    assert node.memory_gib > 0
    places.edit_node(node, extra_labels={"zone": "a"}, actor=SYSTEM)
    places.report_node()
    assert Node.objects.get().info().labels["zone"] == "a"


@pytest.mark.django_db
def test_a_wrong_label_is_refused() -> None:
    with pytest.raises(InvalidFields, match="bad key"):
        places.edit_node(places.report_node(), extra_labels={"bad key": "x"}, actor=SYSTEM)


def test_a_node_that_is_cordoned_takes_nothing_new(
    make: Callable[..., Service], world: World, node: Node, actor: Principal
) -> None:
    places.edit_node(node, schedulable=False, actor=SYSTEM)
    service = world.converge(make())
    assert service.state == "QUEUED"
    assert "no node that takes services" in service.message


def gone(node: Node, settings: Settings) -> None:
    settings.NODE_NAME = "renamed"
    places.report_node()
    assert node.absence


def test_a_node_that_is_silent_takes_nothing_new_until_it_reports(
    make: Callable[..., Service], world: World, node: Node
) -> None:
    Node.objects.update(reported_at=timezone.now() - timedelta(hours=3))
    service = world.converge(make())
    assert service.state == "QUEUED"
    assert service.message == (
        "Node local cannot take it: it has not reported for more than 2 minutes: what it has may have changed."
    )
    places.report_node()
    Node.objects.update(labels={}, cpu=8)
    assert world.converge(service).state == "READY"


def test_a_node_that_was_renamed_takes_nothing_and_holds_what_runs(
    ready: Callable[..., Service], make: Callable[..., Service], world: World, node: Node, settings: Settings
) -> None:
    ready(name="before", resources={"cpu": 3})
    gone(node, settings)
    Node.objects.update(cpu=4)
    Queue.objects.update(cpu=100)
    second = world.converge(make(name="second", resources={"cpu": 2}))
    assert "renamed: needs 2 CPU, 1 free" in second.message
    third = world.converge(make(name="third", resources={"cpu": 1}))
    assert third.state == "READY" and third.replica_set.get().node == "renamed"
    Queue.objects.all().delete()
    assert places.ensure_default_queue().cpu == 4


def test_a_preheat_that_waits_for_a_node_of_another_name_is_asked_for_here(
    make: Callable[..., Service], world: World, node: Node, settings: Settings
) -> None:
    service = world.settle(make())
    before = Round.objects.get()
    gone(node, settings)
    Node.objects.update(cpu=8, memory_gib=16)
    assert world.converge(service).state == "READY"
    assert Round.objects.exclude(pk=before.pk).get().node == "renamed"


def test_a_node_that_is_gone_is_forgotten_once_nothing_runs_on_it(
    ready: Callable[..., Service], world: World, node: Node, settings: Settings, dataset: Dataset, actor: Principal
) -> None:
    service = ready()
    with pytest.raises(Conflict, match="reports itself"):
        places.delete_node(node, actor=SYSTEM)
    waits = request_round(dataset, "echo/1", actor=actor)
    gone(node, settings)
    with pytest.raises(Conflict, match="belong to echo"):
        places.delete_node(node, actor=SYSTEM)
    Node.objects.update(cpu=8, memory_gib=16)
    verbs.restart(service, actor=actor)
    world.converge(service)
    with pytest.raises(InvalidFields, match="Type the name"):
        places.delete_node(node, actor=SYSTEM, confirm="renamed")
    places.delete_node(node, actor=SYSTEM, confirm="local")
    assert [each.name for each in Node.objects.all()] == ["renamed"]
    waits.refresh_from_db()
    assert (waits.state, waits.message) == ("CANCELLED", "Node local is gone.")


def test_two_administrators_change_a_node_and_both_count(node: Node) -> None:
    first, second = Node.objects.get(), Node.objects.get()
    places.edit_node(first, extra_labels={"rack": "7"}, actor=SYSTEM)
    places.edit_node(second, schedulable=False, actor=SYSTEM)
    now = Node.objects.get()
    assert (now.extra_labels, now.schedulable) == ({"rack": "7"}, False)
