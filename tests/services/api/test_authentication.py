"""Who may at all: keys in either header, their scopes and restrictions, sessions with CSRF."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from console.models import Team
from services.models import ApiKey, Queue, Service
from tests.rest import Api

KeyFor = Callable[..., tuple[Api, ApiKey]]


def test_a_key_is_taken_from_either_header(key_for: KeyFor, service: Service) -> None:
    reader, _ = key_for("read")
    assert reader.get("services/echo/").status == 200
    assert Api().send("GET", "services/echo/", headers={"X-API-Key": reader.key}).status == 200


def test_a_key_in_the_address_is_not_looked_at(key_for: KeyFor, service: Service) -> None:
    reader, _ = key_for("read")
    assert Api().get("services/echo/", api_key=reader.key, key=reader.key).status == 401


def test_a_key_that_is_wrong_revoked_or_expired_is_refused(key_for: KeyFor, service: Service) -> None:
    reader, row = key_for("read")
    changed = reader.key[:-1] + ("A" if reader.key[-1] != "A" else "B")
    assert Api(key=changed).get("services/").status == 401
    assert Api(key="nonsense").get("services/").status == 401
    ApiKey.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert reader.get("services/").status == 401
    ApiKey.objects.filter(pk=row.pk).update(expires_at=None, revoked_at=timezone.now())
    refused = reader.get("services/")
    assert refused.status == 401 and reader.key not in str(refused.data)


def test_a_wrong_key_is_refused_even_with_a_session(alice: User) -> None:
    assert Api(alice, key="nonsense").get("services/").status == 401


def test_a_key_that_reads_cannot_change(key_for: KeyFor, service: Service, payload: dict[str, Any]) -> None:
    reader, _ = key_for("read", "infer")
    refused = reader.post("services/", {**payload, "name": "another"})
    assert refused.status == 403 and "scope manage" in refused.data["detail"]
    assert reader.patch("services/echo/", {"replicas": 2}).status == 403
    assert reader.delete("services/echo/").status == 403
    assert reader.post("services/echo/stop/").status == 403
    assert reader.post("keys/", {"name": "more"}).status == 403


def test_a_key_for_inference_sees_nothing_of_the_console(key_for: KeyFor, service: Service) -> None:
    caller, _ = key_for("infer")
    for path in ("services/", "services/echo/", "datasets/", "keys/", "queues/", "nodes/", "teams/", "dashboard/"):
        assert caller.get(path).status == 403, path


def test_a_key_that_manages_does_without_reading(key_for: KeyFor, payload: dict[str, Any]) -> None:
    manager, _ = key_for("manage")
    assert manager.post("services/", payload).status == 201
    assert manager.get("services/echo/").status == 403


def test_a_key_of_another_team_sees_nothing(key_for: KeyFor, service: Service, team: Team, other_team: Team) -> None:
    reader, row = key_for("read", "manage")
    ApiKey.objects.filter(pk=row.pk).update(team=other_team)
    assert reader.get("services/echo/").status == 404
    assert reader.get("services/").data["count"] == 0


def test_a_restricted_key_sees_and_changes_only_its_services(
    key_for: KeyFor, service: Service, payload: dict[str, Any]
) -> None:
    everything, _ = key_for("read", "manage")
    assert everything.post("services/", {**payload, "name": "other"}).status == 201
    only, row = key_for("read", "manage", services=["echo"])
    assert [item["name"] for item in only.get("services/").data["results"]] == ["echo"]
    assert only.get("services/other/").status == 404
    assert only.post("services/other/stop/").status == 404
    assert only.patch("services/echo/", {"replicas": 2}).status == 200
    assert only.post("services/", {**payload, "name": "third"}).status == 403
    assert only.delete("datasets/models/").status == 403
    assert only.post("keys/", {"name": "more", "scopes": ["manage"]}).status == 403
    assert only.post(f"keys/{row.pk}/revoke/").status == 403
    assert Service.objects.count() == 2


def test_an_administrators_key_sees_every_team(key_for: KeyFor, service: Service, other_team: Team) -> None:
    Service.objects.update(team=other_team)
    everywhere, _ = key_for("read", "manage", all_teams=True)
    assert everywhere.get("services/echo/").data["team"] == "speech"
    response = everywhere.post("queues/", {"name": "big", "cpu": 1, "memory_gib": 1})
    assert response.status == 201 and Queue.objects.filter(name="big").exists()
    assert everywhere.post("keys/", {"name": "of its own team", "scopes": ["read"]}).data["team"] == "vision"


def test_a_session_needs_the_csrf_token_to_change_and_a_key_does_not(
    key_for: KeyFor, alice: User, service: Service
) -> None:
    browser = Client(enforce_csrf_checks=True)
    session = Api(alice, client=browser)
    assert session.get("services/echo/").status == 200
    assert session.post("services/echo/stop/").status == 403
    manager, _ = key_for("manage")
    assert Api(key=manager.key, client=Client(enforce_csrf_checks=True)).post("services/echo/stop/").status == 202


def test_nobody_is_told_how_to_authenticate_and_not_sent_to_a_login_page(db: None) -> None:
    for path in ("services/", "datasets/", "keys/", "queues/", "nodes/", "teams/", "dashboard/"):
        refused = Api().get(path)
        assert refused.status == 401 and refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert "Authorization: Bearer" in refused.data["detail"]
        assert Api().post(path, {}).status in {401, 405}


def test_a_key_for_a_service_that_was_deleted_gets_no_hold_of_the_next_one(
    key_for: KeyFor, service: Service, payload: dict[str, Any]
) -> None:
    only, _ = key_for("read", "manage", services=["echo"])
    everything, _ = key_for("read", "manage")
    service.delete()
    assert only.post("services/", payload).status == 403, "nor may it make that itself"
    assert everything.post("services/", payload).status == 201
    assert only.get("services/").data["count"] == 0
    for path in ("", "logs/", "events/", "revisions/"):
        assert only.get(f"services/echo/{path}").status == 404
    assert only.delete("services/echo/").status == 404
