"""Bad input over REST: each gets a message that says what is wrong and what to do, and nothing is made."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from django.test import RequestFactory
from pytest_django import Settings

from console.models import Team
from datasets.models import Round
from services.api.services import Services
from services.models import Event, Revision, Service
from tests.rest import Api, Fields

NOT_JSON = {
    b'{"name": "echo",}': "line 1, column 17",
    b"name=echo": "line 1, column 1",
    b'{"name": NaN}': "NaN",
    b"\xff\xfe": "UTF-8",
    b"[" * 100_000: "nested",
    b'{"name": ' + b"[" * 500 + b"]" * 500 + b"}": "nested",
    b'{"env": ' + b'{"a": ' * 500 + b"1" + b"}" * 501: "nested",
    b'{"replicas": ' + b"9" * 5000 + b"}": "not JSON",
    b'{"name": "\\ud800"}': "no character",
    b'{"name": "a\\u0000"}': "NUL",
}


def refused(owner: Api, payload: dict[str, Any], **changes: Any) -> Fields:
    """The errors of a POST that makes nothing."""
    answer = owner.post("services/", {**payload, **changes})
    assert not any(table.objects.exists() for table in (Service, Revision, Event, Round))
    return answer.errors


def test_a_link_that_leads_outside_the_dataset(
    owner: Api, payload: dict[str, Any], models: Path, tmp_path: Path
) -> None:
    (models / "out").symlink_to(tmp_path)
    assert list(refused(owner, payload, model_path="out")) == ["model_path"]


def test_a_payload_larger_than_the_gateway_takes(owner: Api, payload: dict[str, Any], settings: Settings) -> None:
    settings.MAX_PAYLOAD_BYTES = 4 << 20
    errors = refused(owner, payload, limits={"max_payload_mib": 5})
    assert list(errors) == ["limits.max_payload_mib"] and "at most 4 MiB" in errors["limits.max_payload_mib"][0]
    response = owner.post("services/", {**payload, "limits": {"max_payload_mib": 4}})
    assert response.data["limits"]["max_payload_mib"] == 4


def test_every_wrong_field_is_named_at_once(owner: Api, payload: dict[str, Any]) -> None:
    errors = refused(
        owner,
        payload,
        name="Not A Label",
        replicas=0,
        colour="red",
        resources={"cpu": "many", "disk": 1},
        affinity={"required": [{"key": "zone", "operator": "Like", "values": ["a"]}]},
        env={"1X": "y"},
        framework_config={"max_batch_size": -1},
        state="READY",
    )
    assert set(errors) == {
        "name",
        "replicas",
        "colour",
        "resources.cpu",
        "resources.disk",
        "affinity.required.0.operator",
        "env.1X",
        "framework_config.max_batch_size",
        "state",
    }
    assert errors["state"] == ["Cannot be changed."] and "There is no such field" in errors["colour"][0]


def test_nothing_at_all(owner: Api, payload: dict[str, Any]) -> None:
    answer = owner.post("services/")
    assert set(answer.errors) == {"name", "framework", "dataset"}


def test_a_value_of_the_wrong_type_never_breaks_it(owner: Api, payload: dict[str, Any]) -> None:
    for field in ("name", "framework", "dataset", "model_path", "queue", "replicas", "team"):
        for value in (None, 1.5, [], {}, [1], {"a": 1}, True):
            if (field, value) != ("team", None):  # which says the same as leaving it out
                assert field in refused(owner, payload, **{field: value}), value


def test_something_else_than_an_object_never_breaks_it(owner: Api, payload: dict[str, Any]) -> None:
    for field in ("resources", "auth", "cors", "limits", "affinity", "framework_config", "env"):
        for value in (1.5, [1], "text", True):
            errors = refused(owner, payload, **{field: value})
            assert [name.split(".")[0] for name in errors] == [field], value


def test_a_body_that_is_no_json(owner: Api, payload: dict[str, Any]) -> None:
    for raw, says in NOT_JSON.items():
        answer = owner.send("POST", "services/", raw=raw)
        assert answer.status == 400 and says in answer.data["detail"], (raw[:20], answer.data)


def test_json_that_is_no_object(owner: Api, team: Team) -> None:
    for path, body in product(("services/", "datasets/", "keys/"), ([], "text", 7, [{"name": "echo"}])):
        assert owner.post(path, body).errors == {"body": ["Must be a JSON object: {...}."]}


def test_another_content_type(owner: Api, team: Team) -> None:
    answer = owner.send("POST", "services/", raw=b"name=echo", content_type="application/x-www-form-urlencoded")
    assert answer.status == 415 and "Content-Type: application/json" in answer.data["detail"]


def test_a_body_without_a_length(owner: Api, team: Team) -> None:
    request = RequestFactory().post(
        "/api/v1/services/", b"{}", "application/json", headers={"Transfer-Encoding": "chunked"}
    )
    del request.META["CONTENT_LENGTH"]
    request.user, request._dont_enforce_csrf_checks = owner.user, True  # type: ignore[attr-defined, assignment]
    answer = Services.as_view({"post": "create"})(request)
    assert answer.status_code == 411 and "Content-Length" in answer.data["detail"]


def test_a_path_longer_than_any_file_system_takes(owner: Api, payload: dict[str, Any]) -> None:
    for path in ("a" * 5000, "a/" * 3000, "\u2028" * 300):
        assert list(refused(owner, payload, model_path=path)) == ["model_path"]


def test_a_body_that_is_too_large(owner: Api, team: Team) -> None:
    answer = owner.send("POST", "services/", raw=b'{"name": "' + b"a" * (1 << 20) + b'"}')
    assert answer.status == 413 and "1 MiB" in answer.data["detail"]


def test_an_address_that_there_is_not(owner: Api) -> None:
    for path in ("nowhere/", "services/Not%00A%20Name/", "keys/99999999999999999999/"):
        assert owner.get(path).status == 404
    without_slash = owner.post("services", {})
    assert without_slash.status == 404 and "end with a slash" in without_slash.data["detail"]


def test_a_method_that_there_is_not(owner: Api) -> None:
    answer = owner.send("PUT", "services/", {})
    assert answer.status == 405 and "POST" in answer.headers["Allow"]
