"""Queues, nodes, teams and the dashboard over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User

from console.models import Team
from services.models import Node, Queue, Service
from tests.rest import REFUSED, Api, who_may
from tests.services.nvml import HALF, FakeNvml, gpu_uuid, mig_uuid

BODY = {"name": "gpu-small", "description": "Small ones.", "cpu": 8, "memory_gib": 32, "gpus": {"NVIDIA-L4": 2}}
LOOK = {"nobody": 401, "stranger": 200, "teammate": 200, "owner": 200}
CHANGE = {**REFUSED, "stranger": 403, "owner": 403}


def test_everybody_looks_and_administrators_change_queues(people: dict[str, Api], admin: User, queue: Queue) -> None:
    assert who_may(people, lambda api: api.get("queues/")) == LOOK
    assert who_may(people, lambda api: api.get("queues/default/")) == LOOK
    assert who_may(people, lambda api: api.post("queues/", BODY)) == CHANGE
    assert who_may(people, lambda api: api.patch("queues/default/", {"cpu": 1})) == CHANGE
    assert who_may(people, lambda api: api.delete("queues/default/")) == CHANGE
    root = Api(admin)
    response = root.post("queues/", BODY)
    assert response.status == 201 and response.headers["Location"].endswith("/queues/gpu-small/")
    assert response.data["gpus"] == {"NVIDIA-L4": 2} and response.data["used"]["cpu"] == 0
    assert (response.data["order"], response.data["patience_minutes"], response.data["hold_minutes"]) == ("fair", 10, 5)
    assert root.patch("queues/gpu-small/", {"cpu": 16}).data["cpu"] == 16
    strict = root.patch("queues/gpu-small/", {"order": "strict", "hold_minutes": 0}).data
    assert (strict["order"], strict["hold_minutes"], strict["cpu"]) == ("strict", 0, 16)
    assert root.delete("queues/gpu-small/").status == 204
    assert root.get("queues/gpu-small/").status == 404


def test_a_queue_that_is_used_cannot_be_deleted(admin: User, service: Service) -> None:
    refused = Api(admin).delete("queues/default/")
    assert refused.status == 409 and "echo" in refused.data["detail"] and refused.data["hint"]


def test_wrong_fields_of_a_queue_are_named(admin: User, queue: Queue) -> None:
    root = Api(admin)
    assert set(root.post("queues/", {}).errors) == {"name", "cpu", "memory_gib"}
    assert set(root.post("queues/", {**BODY, "name": "Not A Name", "cpu": -1, "gpus": {"a": -1}}).errors) == {
        "name",
        "cpu",
        "gpus",
    }
    assert set(root.post("queues/", {**BODY, "gpus": {"a": "many"}}).errors) == {"gpus.a"}
    turns = {"order": "mine first", "patience_minutes": -1, "hold_minutes": 10**9}
    assert set(root.patch("queues/default/", turns).errors) == set(turns)
    assert "default" in root.post("queues/", {**BODY, "name": "default"}).errors["name"][0]
    assert set(root.patch("queues/default/", {"name": "other", "colour": "red"}).errors) == {"name", "colour"}
    endless = root.send("POST", "queues/", raw=b'{"name": "endless", "cpu": 1e999, "memory_gib": 1}')
    assert set(endless.errors) == {"cpu"}
    assert Queue.objects.count() == 1


def test_everybody_looks_and_administrators_change_nodes(people: dict[str, Api], admin: User) -> None:
    Node.objects.create(name="node.one", labels={"zone": "a"}, cpu=8, memory_gib=16)
    assert who_may(people, lambda api: api.get("nodes/")) == LOOK
    assert who_may(people, lambda api: api.get("nodes/node.one/")) == LOOK
    assert who_may(people, lambda api: api.patch("nodes/node.one/", {"schedulable": False})) == CHANGE
    changed = Api(admin).patch("nodes/node.one/", {"schedulable": False, "extra_labels": {"rack": "7"}})
    assert changed.data["schedulable"] is False and changed.data["extra_labels"] == {"rack": "7"}
    assert changed.data["labels"] == {"zone": "a"}
    assert set(Api(admin).patch("nodes/node.one/", {"cpu": 9}).errors) == {"cpu"}
    assert set(Api(admin).patch("nodes/node.one/", {"extra_labels": {"no label!": "7"}}).errors) == {"extra_labels"}


def test_the_gpus_of_a_node_say_who_has_them_to_those_who_may_see_that(
    people: dict[str, Api], ready: Callable[..., Service], gpus: FakeNvml
) -> None:
    ready(resources={"gpu": 1, "gpu_type": HALF})

    def device(who: str) -> dict[str, Any]:
        listed = people[who].get("nodes/local/").data["devices"]
        assert len(listed) == 11 and people[who].get("nodes/").data["results"][0]["devices"] == listed
        return next(dict(each) for each in listed if each["uuid"] == mig_uuid(6, 0))

    shown = {
        "uuid": mig_uuid(6, 0),
        "product": HALF,
        "parent": gpu_uuid(6),
        "memory_gib": 39.9,
        "memory_used_gib": 0.0,
        "utilisation": None,
        "problem": "",
        "taken": True,
    }
    assert device("owner") == device("teammate") == {**shown, "service": "echo", "replica": 0}
    assert device("stranger") == {**shown, "service": "", "replica": None}
    assert people["owner"].get("services/echo/").data["replica_list"][0]["devices"] == [mig_uuid(6, 0)]
    assert people["stranger"].get("services/echo/").status == 404
    assert people["owner"].get("nodes/local/").data["used"]["gpus"] == {HALF: 1}


def test_administrators_forget_nodes_that_are_gone(people: dict[str, Api], admin: User) -> None:
    Node.objects.create(name="node.one")
    here = Node.objects.create(name="local")
    assert who_may(people, lambda api: api.delete("nodes/node.one/")) == CHANGE
    root = Api(admin)
    assert "services run on node local" in root.get("nodes/node.one/").data["absence"]
    assert root.get("nodes/local/").data["absence"] == ""
    assert root.delete("nodes/node.one/").status == 204
    assert root.delete("nodes/node.one/").status == 404
    refused = root.delete("nodes/local/")
    assert refused.status == 409 and "reports itself" in refused.data["detail"]
    assert list(Node.objects.all()) == [here]


def test_one_sees_ones_teams_and_an_administrator_all(people: dict[str, Api], admin: User, team: Team) -> None:
    assert who_may(people, lambda api: api.get("teams/")) == LOOK

    def teams(api: Api) -> dict[str, str]:
        return {row["name"]: row["role"] for row in api.get("teams/").data["results"]}

    assert teams(people["owner"]) == {"vision": "owner"}
    assert teams(people["teammate"]) == {"vision": "viewer"}
    assert teams(people["stranger"]) == {"speech": "owner"}
    assert teams(Api(admin)) == {"speech": "", "vision": ""}


def test_the_dashboard_counts_only_what_one_may_see(people: dict[str, Api], service: Service) -> None:
    assert who_may(people, lambda api: api.get("dashboard/")) == LOOK
    shown = people["teammate"].get("dashboard/").data
    assert shown["counts"]["PREHEATING"] == 1 and shown["attention"][0]["name"] == "echo"
    assert shown["events"][0]["service"] == "echo" and shown["queues"][0]["name"] == "default"
    strangers = people["stranger"].get("dashboard/").data
    assert strangers["total"] == 0 and strangers["attention"] == [] and strangers["events"] == []
