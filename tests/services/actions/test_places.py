"""Queues and nodes: administrators change them, the node reports itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from console.errors import Conflict, Forbidden, InvalidFields
from console.principal import SYSTEM, Principal, for_user
from services.actions import claims, places
from services.models import Node, Queue, Service
from services.policies.amounts import Amount
from tests.services.actions.world import World


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
    assert claims.used_of(queue) == Amount(cpu=1, memory_gib=1)


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
