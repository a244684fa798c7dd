"""The dashboard: everybody's, and each sees what they may see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.accounts.principal import for_user
from services import states
from services.models import GatewayRevision, Node, Queue, Service
from services.queries import dashboard
from tests.services.world import World

ClientOf = Callable[[User | None], Client]
HX = {"HX-Request": "true"}


def test_everybody_has_a_dashboard_and_nobody_is_sent_to_sign_in(
    alice: User, bob: User, charlie: User, admin: User, client_of: ClientOf
) -> None:
    for user in (alice, bob, charlie, admin):
        assert client_of(user).get(reverse("dashboard")).status_code == 200
    assert client_of(None).get(reverse("dashboard"))["Location"].startswith(reverse("login"))


def test_a_poll_gets_only_what_changes(alice: User, client_of: ClientOf) -> None:
    part = client_of(alice).get(reverse("dashboard"), headers=HX).content.decode()
    assert "<html" not in part and "Queues" in part


def test_a_stranger_sees_neither_services_nor_events_of_a_team(
    make: Callable[..., Service], alice: User, charlie: User, admin: User, client_of: ClientOf
) -> None:
    make(name="of-vision")
    for user, sees in ((alice, True), (admin, True), (charlie, False)):
        assert ("of-vision" in client_of(user).get(reverse("dashboard")).content.decode()) is sees
    assert dashboard.read(for_user(charlie)).total == 0


def test_services_are_counted_by_state(
    make: Callable[..., Service], ready: Callable[..., Service], alice: User
) -> None:
    make(name="one")
    ready(name="two")
    read = dashboard.read(for_user(alice))
    assert set(read.counts) == set(states.ALL) and read.total == 2
    assert read.counts[states.READY] >= 1
    assert {event.service.name for event in read.events} == {"one", "two"}


def test_what_waits_is_there_with_its_reason(
    make: Callable[..., Service], world: World, alice: User, client_of: ClientOf
) -> None:
    service = make(name="waiting")
    Service.objects.filter(pk=service.pk).update(state=states.QUEUED, message="1st in queue default: needs 9 CPU.")
    page = client_of(alice).get(reverse("dashboard")).content.decode()
    assert "1st in queue default: needs 9 CPU." in page
    assert [queue.waiting for queue in dashboard.queue_uses()] == [1]


def test_a_running_replica_uses_its_queue_and_its_node(ready: Callable[..., Service]) -> None:
    ready(name="two", replicas=2, resources={"cpu": 1.5, "memory_gib": 2})
    (queue,), (node,) = dashboard.queue_uses(), dashboard.node_uses()
    assert [(use.label, use.used, use.total) for use in queue.uses] == [("CPU", 3, 4), ("Memory", 4, 8)]
    assert [(use.used, use.total) for use in node.uses] == [(3, 8), (4, 16)]
    assert queue.running == node.replicas == 2


def test_gpus_are_counted_by_type(db: None) -> None:
    Queue.objects.create(name="gpu", cpu=1, memory_gib=1, gpus={"NVIDIA-H200": 8, "": 2})
    (queue,) = dashboard.queue_uses()
    assert [(use.label, use.total) for use in queue.uses[2:]] == [("GPU", 2), ("GPU NVIDIA-H200", 8)]


def test_a_node_that_no_longer_reports_is_silent(node: Node) -> None:
    Node.objects.update(reported_at=None)
    assert not dashboard.node_uses()[0].alive
    Node.objects.update(reported_at=timezone.now())
    assert dashboard.node_uses()[0].alive
    Node.objects.update(reported_at=timezone.now() - dashboard.REPORT_LOST_AFTER - timedelta(seconds=1))
    assert not dashboard.node_uses()[0].alive


def test_readings_of_a_node_are_shown(node: Node) -> None:
    gpu = {"product": "NVIDIA-H200", "memory_gib": 141.0, "memory_used_gib": 3.04, "utilisation": 7}
    facts = {
        "load": 0.5,
        "cores": 2,
        "memory_gib": 16.0,
        "memory_free_gib": 12.5,
        "disk_gib": 100.0,
        "disk_free_gib": 99.0,
    }
    Node.objects.update(facts={**facts, "gpus": [gpu]})
    live = {use.label: (use.used, use.total) for use in dashboard.node_uses()[0].live}
    assert live == {
        "Load, one minute": (0.5, 2),
        "Memory in use": (3.5, 16.0),
        "Disk in use": (1.0, 100.0),
        "GPU 0 NVIDIA-H200 memory": (3.0, 141.0),
    }


def test_a_gateway_that_does_not_run_is_away_and_a_refused_configuration_is_told(
    alice: User, client_of: ClientOf
) -> None:
    GatewayRevision.objects.create(services=1, keys=2, error="route: no such cluster <x>")
    assert dashboard.gateway().state == "away"
    page = client_of(alice).get(reverse("dashboard")).content.decode()
    assert "The gateway does not answer" in page
    assert "The gateway refused the newest configuration" in page and "no such cluster &lt;x&gt;" in page


def test_who_may_make_a_service_is_offered_to(alice: User, bob: User, client_of: ClientOf) -> None:
    assert reverse("service-new") in client_of(alice).get(reverse("dashboard")).content.decode()
    assert reverse("service-new") not in client_of(bob).get(reverse("dashboard")).content.decode()


def test_it_asks_the_database_the_same_few_questions_however_many_services_there_are(
    make: Callable[..., Service], alice: User, client_of: ClientOf, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for number in range(6):
        make(name=f"service-{number}")
    client = client_of(alice)
    with django_assert_max_num_queries(14):
        assert client.get(reverse("dashboard"), headers=HX).status_code == 200
