"""Services over REST: the answers, and who may. What the verbs do is tested with services/actions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from console import roles
from console.accounts.principal import Principal
from console.models import Membership, Team
from services import states
from services.actions import services as verbs
from services.frameworks.vllm.framework import Vllm
from services.models import Queue, Service
from tests.rest import REFUSED, SEEN, Api, who_may
from tests.services import llama_folder


def test_a_service_is_created_and_shown_as_the_design_says(owner: Api, payload: dict[str, Any]) -> None:
    response = owner.post("services/", {**payload, "resources": {"cpu": 2}, "framework_config": {"max_batch_size": 0}})
    assert response.status == 201
    assert response.headers["Location"] == "http://testserver/api/v1/services/echo/"
    assert (
        response.data["state"] == states.PREHEATING
        and response.data["revision"] == 1
        and response.data["team"] == "vision"
    )
    assert response.data["resources"] == {"cpu": 2.0, "memory_gib": 1.0, "gpu": 0, "gpu_type": ""}
    assert response.data["auth"] == {"policy": "api_key", "header": "", "parameters": []}
    assert response.data["queue"] == "default"
    assert response.data["endpoints"]["http"] == "http://testserver:8080/v2/models/echo"
    assert owner.get("services/echo/").data == response.data


def test_what_create_returned_can_be_sent_again_under_another_name(owner: Api, payload: dict[str, Any]) -> None:
    document = owner.post("services/", payload).data
    again = {
        name: document[name]
        for name in (
            "framework",
            "dataset",
            "model_path",
            "queue",
            "replicas",
            "resources",
            "auth",
            "cors",
            "limits",
            "affinity",
        )
    }
    assert owner.post("services/", {**again, "name": "echo-2"}).status == 201


def test_access_and_limits_are_changed_field_by_field(owner: Api, service: Service) -> None:
    owner.patch("services/echo/", {"auth": {"header": "X-Tenant-Key"}, "limits": {"concurrency": 4}})
    more = {"auth": {"parameters": [{"name": "X-Tenant", "value": "blue"}]}, "limits": {"timeout_seconds": 9}}
    changed = owner.patch("services/echo/", more).data
    assert changed["auth"] == {
        "policy": "api_key",
        "header": "x-tenant-key",
        "parameters": [{"name": "x-tenant", "value": "blue"}],
    }
    assert changed["limits"] == {"max_payload_mib": None, "timeout_seconds": 9, "concurrency": 4, "stall_seconds": None}
    assert changed["revision"] == 3
    less = {"auth": {"header": "", "policy": "public"}, "limits": {"concurrency": None}}
    cleared = owner.patch("services/echo/", less)
    assert cleared.data["auth"]["header"] == "" and cleared.data["limits"]["concurrency"] is None


def test_origins_are_changed_and_taken_away_without_a_restart(owner: Api, service: Service) -> None:
    named = owner.patch("services/echo/", {"cors": {"allowed_origins": ["HTTPS://App.Example:443", "http://a:3000"]}})
    assert named.data["cors"] == {"allowed_origins": ["https://app.example", "http://a:3000"]}
    assert owner.get("services/echo/events/").data["results"][0]["message"].endswith("No replica is restarted.")
    assert owner.patch("services/echo/", {"cors": {}}).data["revision"] == named.data["revision"]
    for none in ({"allowed_origins": []}, {"allowed_origins": None}):
        assert owner.patch("services/echo/", {"cors": none}).data["cors"] == {"allowed_origins": []}
    refused = owner.patch("services/echo/", {"cors": {"allowed_origins": ["*", "https://a"], "credentials": True}})
    assert (refused.status, set(refused.errors)) == (400, {"cors.allowed_origins", "cors.credentials"})


def test_only_an_administrator_has_code_of_a_model_run(
    owner: Api,
    admin: User,
    payload: dict[str, Any],
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    key_for: Callable[..., tuple[Api, Any]],
) -> None:
    monkeypatch.setattr(Vllm, "missing", lambda self, runtime: "")
    llama_folder.write(models / "llama")
    body = {**payload, "name": "llama", "framework": "vllm", "model_path": "llama", "team": "vision"}
    trusting = {**body, "framework_config": {"trust_remote_code": True}}
    for refused in (owner, key_for("manage")[0]):
        assert "Only an administrator" in refused.post("services/", trusting).errors["framework_config"][0]
    assert owner.post("services/", body).status == 201
    changed = owner.patch("services/llama/", {"framework_config": {"trust_remote_code": True}})
    assert "Only an administrator" in changed.errors["framework_config"][0]
    response = Api(admin).patch("services/llama/", {"framework_config": {"trust_remote_code": True}})
    assert response.status == 200 and response.data["framework_config"] == {"trust_remote_code": True}


def test_who_may_create(people: dict[str, Api], payload: dict[str, Any]) -> None:
    # The stranger has a team too, but that team has no such dataset.
    assert who_may(people, lambda api: api.post("services/", payload)) == {**REFUSED, "stranger": 400, "owner": 201}


def test_who_sees_a_service(people: dict[str, Api], service: Service) -> None:
    statuses = SEEN
    for part in ("", "events/", "revisions/", "metrics/", "logs/"):
        assert who_may(people, lambda api, part=part: api.get(f"services/echo/{part}")) == statuses, part  # type: ignore[misc]


def test_the_list_has_only_services_of_ones_teams(people: dict[str, Api], service: Service) -> None:
    assert who_may(people, lambda api: api.get("services/")) == {
        "nobody": 401,
        "stranger": 200,
        "teammate": 200,
        "owner": 200,
    }
    assert people["stranger"].get("services/").data["count"] == 0
    assert [row["name"] for row in people["teammate"].get("services/").data["results"]] == ["echo"]


def test_who_may_change_a_service(people: dict[str, Api], service: Service) -> None:
    assert who_may(people, lambda api: api.patch("services/echo/", {"replicas": 2})) == {**REFUSED, "owner": 200}
    service.refresh_from_db()
    assert service.replicas == 2


@pytest.mark.parametrize("verb", ["stop", "start", "rollback"])
def test_who_may_use_a_verb(verb: str, people: dict[str, Api], service: Service) -> None:
    body = {"revision": 1} if verb == "rollback" else None
    assert who_may(people, lambda api: api.post(f"services/echo/{verb}/", body)) == {**REFUSED, "owner": 202}


def test_who_may_restart(people: dict[str, Api], service: Service) -> None:
    Service.objects.update(state=states.READY)
    assert who_may(people, lambda api: api.post("services/echo/restart/")) == {**REFUSED, "owner": 202}
    service.refresh_from_db()
    assert service.revisions.count() == 2


@pytest.mark.parametrize(("action", "left"), [("replace_now", (2, "recreate")), ("cancel", (1, "rolling"))])
def test_who_may_decide_on_a_revision_that_waits(
    action: str, left: tuple[int, str], people: dict[str, Api], service: Service
) -> None:
    Service.objects.update(state=states.READY, serving=service.target)
    assert people["owner"].patch("services/echo/", {"env": {"A": "b"}}).data["serving_revision"] == 1
    assert who_may(people, lambda api: api.post("services/echo/rollout/", {"action": action})) == {
        **REFUSED,
        "owner": 202,
    }
    service.refresh_from_db()
    assert (service.target.number, service.target.strategy) == left


def test_without_a_revision_that_waits_there_is_nothing_to_decide(owner: Api, service: Service) -> None:
    for action in ("replace_now", "cancel"):
        refused = owner.post("services/echo/rollout/", {"action": action})
        assert refused.status == 409 and "no revision that waits" in refused.data["detail"]
    for body in ({}, {"action": None}, {"action": "now"}, {"action": ["cancel"]}):
        assert owner.post("services/echo/rollout/", body).errors == {"action": ["Must be replace_now or cancel."]}
    assert "verb" in owner.post("services/echo/rollout/", {"action": "cancel", "verb": 1}).errors


def test_each_way_to_a_new_revision_takes_a_strategy(owner: Api, service: Service) -> None:
    Service.objects.update(state=states.READY, serving=service.target)
    recreate = {"strategy": "recreate"}
    assert owner.patch("services/echo/", {"env": {"A": "b"}, **recreate}).status == 200
    assert owner.post("services/echo/restart/", recreate).status == 202
    assert owner.post("services/echo/rollback/", {"revision": 1, **recreate}).status == 202
    rows = owner.get("services/echo/revisions/").data["results"]
    assert [row["strategy"] for row in rows] == ["recreate", "recreate", "recreate", "rolling"]
    for strategy in ("now", None, 1, ["recreate"]):
        for answer in (
            owner.patch("services/echo/", {"env": {"C": "d"}, "strategy": strategy}),
            owner.post("services/echo/restart/", {"strategy": strategy}),
            owner.post("services/echo/rollback/", {"revision": 1, "strategy": strategy}),
        ):
            assert answer.errors == {"strategy": ["Must be rolling or recreate."]}


def test_who_may_delete(people: dict[str, Api], service: Service) -> None:
    assert who_may(people, lambda api: api.delete("services/echo/")) == {**REFUSED, "owner": 202}
    service.refresh_from_db()
    assert service.desired == "deleted" and service.state == states.STOPPING


def test_a_service_that_is_gone_before_the_answer_was_deleted_all_the_same(
    owner: Api, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = verbs.delete

    def and_reconciled_at_once(service: Service, *, actor: Principal) -> None:
        real(service, actor=actor)
        Service.objects.filter(pk=service.pk).delete()

    monkeypatch.setattr(verbs, "delete", and_reconciled_at_once)
    answer = owner.delete("services/echo/")
    assert answer.status == 202
    assert answer.data["name"] == "echo" and answer.data["state"] == states.STOPPING


def test_a_stopped_service_says_so(owner: Api, service: Service) -> None:
    stopping = owner.post("services/echo/stop/")
    assert stopping.data["state"] == states.STOPPING and stopping.data["desired"] == "stopped"
    assert "Stopped by alice" in stopping.data["message"]


def test_a_change_makes_a_revision_and_a_rollback_another(owner: Api, service: Service) -> None:
    edited = owner.patch("services/echo/", {"resources": {"cpu": 2}})
    assert edited.data["revision"] == 2 and edited.data["resources"]["memory_gib"] == 1.0
    back = owner.post("services/echo/rollback/")
    assert back.status == 202 and back.data["revision"] == 3 and back.data["resources"]["cpu"] == 1.0
    notes = [
        (row["number"], row["note"], row["is_target"]) for row in owner.get("services/echo/revisions/").data["results"]
    ]
    assert notes == [(3, "Rolled back to revision 1", True), (2, "Edited", False), (1, "", False)]


def test_a_rollback_to_no_revision_is_refused(owner: Api, service: Service) -> None:
    for number in ("1", 1.5, True, None, -1, 99, 10**30):
        assert "revision" in owner.post("services/echo/rollback/", {"revision": number}).errors
    assert service.revisions.count() == 1


def test_the_list_is_filtered_and_paged(owner: Api, payload: dict[str, Any], alice: User, queue: Queue) -> None:
    Queue.objects.create(name="big", cpu=64, memory_gib=64)
    for name, more in {"a": {}, "b": {"queue": "big"}, "c": {}}.items():
        assert owner.post("services/", {**payload, "name": name, **more}).status == 201
    Service.objects.filter(name="c").update(state=states.FAILED)

    def names(**query: Any) -> list[str]:
        return [row["name"] for row in owner.get("services/", **query).data["results"]]

    assert names(queue="big") == ["b"]
    assert names(state="FAILED") == ["c"]
    assert names(state=["FAILED", "PREHEATING"]) == ["a", "b", "c"]
    assert names(team="vision", framework="triton") == ["a", "b", "c"]
    assert names(team="speech") == []
    assert names(page=2, page_size=2) == ["c"]
    assert "state" in owner.get("services/", state="RUNNING").errors


def test_a_list_takes_the_same_number_of_queries_however_long(
    owner: Api, payload: dict[str, Any], django_assert_max_num_queries: Any
) -> None:
    for name in ("a", "b", "c", "d", "e"):
        owner.post("services/", {**payload, "name": name})
    with django_assert_max_num_queries(9):
        owner.get("services/")


def test_whoever_may_create_in_several_teams_says_in_which(
    owner: Api, payload: dict[str, Any], alice: User, other_team: Team
) -> None:
    Membership.objects.create(team=other_team, user=alice, role=roles.EDITOR)
    assert owner.post("services/", payload).errors == {
        "team": ["Say which team it belongs to, one of: speech, vision."]
    }
    assert owner.post("services/", {**payload, "team": "vision"}).status == 201


def test_a_team_that_one_only_watches_is_no_choice(
    owner: Api, payload: dict[str, Any], alice: User, other_team: Team
) -> None:
    Membership.objects.create(team=other_team, user=alice, role=roles.VIEWER)
    assert owner.post("services/", payload).data["team"] == "vision"
    assert owner.post("services/", {**payload, "name": "b", "team": "speech"}).status == 403


def test_a_team_of_others_is_as_unknown_as_none(people: dict[str, Api], payload: dict[str, Any]) -> None:
    others = people["owner"].post("services/", {**payload, "team": "speech"}).errors
    assert others == people["owner"].post("services/", {**payload, "team": "nowhere"}).errors
    assert "vision" in others["team"][0] and not Service.objects.exists()
