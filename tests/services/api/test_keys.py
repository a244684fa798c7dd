"""API keys over REST."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from services.models import ApiKey, Service
from tests.rest import REFUSED, SEEN, Api, who_may

BODY = {
    "name": "ci",
    "scopes": ["infer", "read"],
    "rate_limit_per_minute": 60,
    "tokens_per_minute": 9000,
    "max_concurrent": 4,
}
LIMITS = ("rate_limit_per_minute", "tokens_per_minute", "max_concurrent")


def test_a_key_is_shown_once_and_works(owner: Api, service: Service) -> None:
    response = owner.post("keys/", BODY)
    assert response.status == 201 and response.headers["Cache-Control"] == "no-store"
    assert response.data["key"].startswith(response.data["prefix"])
    assert Api(key=response.data["key"]).get("services/echo/").status == 200
    shown = owner.get(f"keys/{response.data['id']}/").data
    assert shown == owner.get("keys/").data["results"][0]
    assert "key" not in shown and response.data["key"] not in str(shown)
    assert shown["scopes"] == ["infer", "read"] and [shown[limit] for limit in LIMITS] == [60, 9000, 4]


def test_who_may_make_a_key(people: dict[str, Api]) -> None:
    assert who_may(people, lambda api: api.post("keys/", {**BODY, "team": "vision"})) == {
        **REFUSED,
        "stranger": 400,
        "owner": 201,
    }
    assert ApiKey.objects.count() == 1


def test_who_sees_a_key(people: dict[str, Api]) -> None:
    key = people["owner"].post("keys/", BODY).data["id"]
    assert who_may(people, lambda api: api.get(f"keys/{key}/")) == SEEN
    assert people["stranger"].get("keys/").data["count"] == 0
    assert people["teammate"].get("keys/").data["count"] == 1


def test_who_may_revoke_and_rotate_a_key(people: dict[str, Api]) -> None:
    key = people["owner"].post("keys/", BODY).data["id"]
    assert who_may(people, lambda api: api.post(f"keys/{key}/rotate/")) == {**REFUSED, "owner": 201}
    assert who_may(people, lambda api: api.post(f"keys/{key}/revoke/")) == {**REFUSED, "owner": 200}


def test_every_wrong_field_of_a_key_is_named(owner: Api) -> None:
    body = {
        "name": "",
        "scopes": ["fly"],
        "services": ["nowhere"],
        "expires_at": "2001-01-01T00:00:00Z",
        "rate_limit_per_minute": 0,
        "tokens_per_minute": -1,
        "max_concurrent": 0,
        "all_teams": True,
    }
    assert set(owner.post("keys/", body).errors) == set(body)
    types: dict[str, Any] = {
        "name": [],
        "scopes": "infer",
        "services": 1,
        "expires_at": "soon",
        "rate_limit_per_minute": "x",
        "tokens_per_minute": 1.5,
        "max_concurrent": 10**9 + 1,
    }
    errors = owner.post("keys/", types).errors
    assert set(errors) == set(types), errors
    assert set(owner.post("keys/", {**BODY, "colour": "red"}).errors) == {"colour"}
    assert not ApiKey.objects.exists()


def test_an_administrator_may_make_a_key_for_every_team(admin: User, owner: Api) -> None:
    response = Api(admin).post("keys/", {**BODY, "team": "vision", "all_teams": True})
    assert response.status == 201 and response.data["all_teams"] is True
    refused = owner.post(f"keys/{response.data['id']}/rotate/")
    assert refused.errors.keys() == {"all_teams"}


def test_revoking_tells_of_the_children_and_takes_them_along(owner: Api) -> None:
    parent = owner.post("keys/", {"name": "parent", "scopes": ["manage", "read"]}).data
    child = Api(key=parent["key"]).post("keys/", {"name": "child", "scopes": ["read"]}).data
    assert owner.get(f"keys/{parent['id']}/").data["children"] == 1
    assert owner.post(f"keys/{parent['id']}/revoke/", {"children": "perhaps"}).errors.keys() == {"children"}
    assert owner.post(f"keys/{parent['id']}/revoke/", {"children": False}).data["revoked_children"] == []
    assert Api(key=child["key"]).get("services/").status == 200
    assert owner.post(f"keys/{parent['id']}/revoke/").data["revoked_children"] == [child["id"]]
    assert Api(key=child["key"]).get("services/").status == 401


def test_a_key_tells_which_of_its_services_are_gone(owner: Api, service: Service) -> None:
    key = owner.post("keys/", {"name": "one", "services": ["echo"]}).data
    assert (key["services"], key["deleted_services"]) == (["echo"], [])
    service.delete()
    assert owner.get(f"keys/{key['id']}/").data["deleted_services"] == ["echo"]
