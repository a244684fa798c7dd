"""The pages of queues and nodes: everybody looks, administrators change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from services.actions import places
from services.models import Node, Queue, Service
from tests.services.nvml import HALF, WHOLE, FakeNvml, gpu_uuid

ClientOf = Callable[[User | None], Client]
HX = {"HX-Request": "true"}
QUOTA = {
    "name": "gpu-small",
    "description": "For tests.",
    "cpu": "8",
    "memory_gib": "32.5",
    "gpus": "NVIDIA-H200 = 2\nany = 1",
    "order": "strict",
    "patience_minutes": "3",
    "hold_minutes": "2",
}


@pytest.mark.parametrize(("page", "name"), [("queues", ""), ("queue", "default"), ("nodes", ""), ("node", "local")])
def test_everybody_who_is_signed_in_sees_queues_and_nodes(
    page: str,
    name: str,
    queue: Queue,
    node: Node,
    alice: User,
    bob: User,
    charlie: User,
    admin: User,
    client_of: ClientOf,
) -> None:
    url = reverse(page, args=[name] if name else [])
    for user in (alice, bob, charlie, admin):
        assert client_of(user).get(url).status_code == 200
        part = client_of(user).get(url, headers=HX)
        assert part.status_code == 200 and "<html" not in part.content.decode()
    assert client_of(None).get(url)["Location"].startswith(reverse("login"))


@pytest.mark.parametrize("page", ["queue", "node"])
def test_an_unknown_place_is_not_found(page: str, alice: User, client_of: ClientOf) -> None:
    assert client_of(alice).get(reverse(page, args=["nowhere"])).status_code == 404


def test_an_administrator_makes_a_queue(admin: User, client_of: ClientOf) -> None:
    assert "Create the queue" in client_of(admin).get(reverse("queues") + "?new").content.decode()
    answer = client_of(admin).post(reverse("queues"), QUOTA)
    assert answer["Location"] == reverse("queue", args=["gpu-small"])
    queue = Queue.objects.get(name="gpu-small")
    assert (queue.cpu, queue.memory_gib, queue.gpus) == (8, 32.5, {"NVIDIA-H200": 2, "": 1})
    assert (queue.order, queue.patience_minutes, queue.hold_minutes) == ("strict", 3, 2)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "GPU", "Use lower-case letters"),
        ("name", "default", "There is already a queue named default."),
        ("memory_gib", "nan", "Enter a number"),
        ("gpus", "NVIDIA-H200", "Line 1 is not of the form"),
        ("gpus", "A = 1\nA = 2", "A is there twice"),
        ("gpus", "A = -1", "must be a whole number"),
        ("hold_minutes", "a while", "Enter a whole number"),
    ],
)
def test_a_queue_that_makes_no_sense_is_explained_at_its_field(
    field: str, value: str, message: str, queue: Queue, admin: User, client_of: ClientOf
) -> None:
    page = client_of(admin).post(reverse("queues"), {**QUOTA, field: value})
    assert page.status_code == 200 and message in page.content.decode()
    assert list(Queue.objects.values_list("name", flat=True)) == ["default"]


def test_only_an_administrator_changes_a_queue_or_a_node(
    queue: Queue, node: Node, alice: User, bob: User, charlie: User, client_of: ClientOf
) -> None:
    for user, status in ((alice, 403), (bob, 403), (charlie, 403), (None, 302)):
        client = client_of(user)
        assert client.post(reverse("queues"), QUOTA).status_code == status
        assert client.post(reverse("queue", args=["default"]), {**QUOTA, "cpu": "99"}).status_code == status
        assert (
            client.post(reverse("queue", args=["default"]), {"verb": "delete", "confirm": "default"}).status_code
            == status
        )
        assert client.post(reverse("node", args=["local"]), {"extra_labels": "a = b"}).status_code == status
    queue.refresh_from_db()
    node.refresh_from_db()
    assert queue.cpu == 4 and node.extra_labels == {} and node.schedulable
    assert "Change the quota" not in client_of(alice).get(reverse("queue", args=["default"])).content.decode()


def test_an_administrator_changes_a_quota(queue: Queue, admin: User, client_of: ClientOf) -> None:
    url = reverse("queue", args=["default"])
    assert client_of(admin).post(url, QUOTA)["Location"] == url
    queue.refresh_from_db()
    assert (queue.name, queue.cpu, queue.gpus) == ("default", 8, {"NVIDIA-H200": 2, "": 1})
    page = client_of(admin).get(url).content.decode()
    assert "NVIDIA-H200 = 2" in page and "any = 1" in page  # as it was typed
    assert "First come, first served: nobody passes one that does not fit yet." in page


def test_a_queue_is_deleted_with_its_name_typed(queue: Queue, admin: User, client_of: ClientOf) -> None:
    client, url = client_of(admin), reverse("queue", args=["default"])
    assert "Type the name of the queue" in client.post(url, {"verb": "delete", "confirm": "x"}).content.decode()
    assert client.post(url, {"verb": "delete", "confirm": "default"})["Location"] == reverse("queues")
    assert not Queue.objects.exists()


def test_a_queue_that_a_service_uses_is_not_deleted(
    make: Callable[..., Service], admin: User, client_of: ClientOf
) -> None:
    make(name="of-vision")
    answer = client_of(admin).post(reverse("queue", args=["default"]), {"verb": "delete", "confirm": "default"})
    assert answer.status_code == 409 and "is used by of-vision" in answer.content.decode()
    assert Queue.objects.exists()


def test_a_queue_shows_who_waits_but_no_names_of_other_teams(
    make: Callable[..., Service], world: object, bob: User, charlie: User, client_of: ClientOf
) -> None:
    service = make(name="of-vision")
    Service.objects.filter(pk=service.pk).update(state="QUEUED", message="1st in queue default.")
    url = reverse("queue", args=["default"])
    assert "of-vision" in client_of(bob).get(url).content.decode()
    strangers = client_of(charlie).get(url).content.decode()
    assert "of-vision" not in strangers and "A service of another team" in strangers


def test_a_node_shows_the_replicas_of_ones_own_teams(
    ready: Callable[..., Service], bob: User, charlie: User, client_of: ClientOf
) -> None:
    ready(name="of-vision")
    url = reverse("node", args=["local"])
    assert "of-vision" in client_of(bob).get(url).content.decode()
    assert "of-vision" not in client_of(charlie).get(url).content.decode()


def test_a_node_shows_each_gpu_with_who_has_it_and_no_names_of_other_teams(
    ready: Callable[..., Service], gpus: FakeNvml, bob: User, charlie: User, client_of: ClientOf
) -> None:
    ready(name="of-vision", resources={"gpu": 1, "gpu_type": WHOLE})
    url = reverse("node", args=["local"])
    page = client_of(bob).get(url).content.decode()
    assert "GPU-00000003" in page and "3 of 80 GiB" in page and "3 %" in page and HALF in page
    assert page.count(">of-vision</a>") == 2, "among the replicas, and at its GPU"
    strangers = client_of(charlie).get(url).content.decode()
    assert "of-vision" not in strangers and strangers.count("another team") == 1


def test_a_gpu_that_fails_is_told_on_the_nodes_page(
    ready: Callable[..., Service], gpus: FakeNvml, bob: User, client_of: ClientOf
) -> None:
    ready(name="of-vision", resources={"gpu": 1, "gpu_type": WHOLE})
    gpus.fail(gpu_uuid(0))
    places.report_node()
    page = client_of(bob).get(reverse("node", args=["local"])).content.decode()
    assert "<b>Not given out:</b> NVML: GPU is lost." in page and page.count(">of-vision</a>") == 2
    assert "GPU-00000000" in client_of(bob).get(reverse("service", args=["of-vision"])).content.decode()


def test_a_node_without_gpus_shows_no_table_of_them(node: Node, bob: User, client_of: ClientOf) -> None:
    assert "MIG instances" not in client_of(bob).get(reverse("node", args=["local"])).content.decode()


def test_an_administrator_labels_a_node_and_takes_it_out(node: Node, admin: User, client_of: ClientOf) -> None:
    client, url = client_of(admin), reverse("node", args=["local"])
    assert client.post(url, {"extra_labels": "rack = 7\nzone = b"})["Location"] == url
    node.refresh_from_db()
    assert node.extra_labels == {"rack": "7", "zone": "b"} and not node.schedulable
    assert "Unschedulable" in client.get(url).content.decode() or "Not reporting" in client.get(url).content.decode()
    page = client.post(url, {"extra_labels": "a b = c"})
    assert "Not a label and a text: a b." in page.content.decode()


def test_an_administrator_removes_a_node_that_is_gone(
    node: Node, admin: User, alice: User, bob: User, charlie: User, client_of: ClientOf
) -> None:
    Node.objects.create(name="gone")
    url, typed = reverse("node", args=["gone"]), {"verb": "delete", "confirm": "gone"}
    page = client_of(admin).get(url).content.decode()
    assert "Remove the node" in page and "it does not reach other machines" in page
    assert "Remove the node" not in client_of(admin).get(reverse("node", args=["local"])).content.decode()
    assert "Remove the node" not in client_of(alice).get(url).content.decode()
    for user, status in ((alice, 403), (bob, 403), (charlie, 403), (None, 302)):
        assert client_of(user).post(url, typed).status_code == status
    assert "Type the name" in client_of(admin).post(url, {"verb": "delete", "confirm": "x"}).content.decode()
    assert client_of(admin).post(url, typed)["Location"] == reverse("nodes")
    assert list(Node.objects.all()) == [node]
