"""Who may call a service and how much, as people send it: every wrong field is named, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from console.errors import InvalidFields
from services.parsing import parse_spec
from services.schema.internal_headers import INTERNAL
from services.specs import Auth, Header, ServiceLimits, ServiceSpec

GOOD: dict[str, Any] = {"framework": "triton", "dataset": "samples", "model_path": "mnist-svm", "queue": "default"}


def parsed(**changes: Any) -> ServiceSpec:
    return parse_spec({**GOOD, **changes})


def errors_of(**changes: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidFields) as caught:
        parsed(**changes)
    return caught.value.errors


def test_nothing_said_is_the_gateways_own_way() -> None:
    spec = parsed()
    assert spec.auth == Auth("api_key", "", ())
    assert spec.limits == ServiceLimits() == parsed(limits={"concurrency": None}, auth={"header": None}).limits


def test_a_header_and_parameters_survive_being_stored() -> None:
    spec = parsed(
        auth={"header": " X-Tenant-Key ", "parameters": [{"name": "X-Tenant", "value": " blue, green "}]},
        limits={"max_payload_mib": 1, "timeout_seconds": 3600, "concurrency": 4096, "stall_seconds": 5},
    )
    assert spec.auth == Auth("api_key", "x-tenant-key", (Header("x-tenant", "blue, green"),))
    assert spec.limits == ServiceLimits(1, 3600, 4096, 5)
    assert ServiceSpec.from_json(spec.to_json()) == spec


def test_a_revision_of_before_these_were_there_can_still_be_read() -> None:
    old = {key: value for key, value in parsed().to_json().items() if key != "limits"}
    assert ServiceSpec.from_json({**old, "auth": {"policy": "api_key"}}) == parsed()


@pytest.mark.parametrize(
    "name",
    [
        "host",
        "Cookie",
        "content-type",
        "Content-Encoding",
        "x-service",
        "x-caller",
        "x-key-digest",
        "x-request-id",
        "grpc-timeout",
        "authorization",
        "x-api-key",
        "transfer-encoding",
        "te",
        "x-forwarded-for",
        "x-envoy-retry-on",
        "x-console-caller",
        "mm-vmodel-id",
        "inference-header-content-length",
        "proxy-authorization",
        "accept",
        *INTERNAL,
    ],
)
def test_a_header_with_a_meaning_of_its_own_is_refused(name: str) -> None:
    assert list(errors_of(auth={"header": name})) == ["auth.header"]
    parameters = [{"name": "x-fine", "value": "1"}, {"name": name, "value": "1"}]
    assert list(errors_of(auth={"parameters": parameters})) == ["auth.parameters.1.name"]


@pytest.mark.parametrize(
    "name", ["x_tenant", "x tenant", ":path", "x-tenant:", "-x", "\u212aey", "x-täg", "x-\r\ny", "x" * 65, "x-a-bin", 7]
)
def test_what_is_no_header_is_refused(name: Any) -> None:
    assert list(errors_of(auth={"header": name})) == ["auth.header"]


@pytest.mark.parametrize("value", ["", "  ", "a\nb", "a\0b", "ä", "\x7f", "x" * 257, None, 7, ["a"]])
def test_a_parameter_must_hold_what_a_header_can_hold(value: Any) -> None:
    sent = {"parameters": [{"name": "x-tenant", "value": value}]}
    assert list(errors_of(auth=sent)) == ["auth.parameters.0.value"]


def test_a_header_is_wanted_once() -> None:
    twice = [{"name": "x-tenant", "value": "a"}, {"name": "X-Tenant", "value": "b"}]
    assert list(errors_of(auth={"parameters": twice})) == ["auth.parameters.1.name"]
    assert list(errors_of(auth={"header": "x-tenant", "parameters": twice[:1]})) == ["auth.parameters.0.name"]


def test_more_parameters_than_anybody_needs_are_refused() -> None:
    rows = [{"name": f"x-{index}", "value": "1"} for index in range(9)]
    assert errors_of(auth={"parameters": rows}) == {"auth.parameters": ["At most 8."]}
    assert len(parsed(auth={"parameters": rows[:8]}).auth.parameters) == 8


def test_a_public_service_has_no_header_for_a_key_but_may_want_others() -> None:
    assert "takes no key" in errors_of(auth={"policy": "public", "header": "x-key"})["auth.header"][0]
    assert parsed(auth={"policy": "public", "parameters": [{"name": "x-tenant", "value": "a"}]}).auth.parameters


@pytest.mark.parametrize(
    ("auth", "field"),
    [
        ({"polcy": "public"}, "auth.polcy"),
        ({"policy": None}, "auth.policy"),
        ({"policy": ["public"]}, "auth.policy"),
        ({"parameters": {"x-tenant": "a"}}, "auth.parameters"),
        ({"parameters": ["x-tenant"]}, "auth.parameters.0"),
        ({"parameters": [{"name": "x-tenant", "value": "a", "secret": True}]}, "auth.parameters.0.secret"),
        ("public", "auth"),
    ],
)
def test_what_cannot_be_understood_is_pointed_at(auth: Any, field: str) -> None:
    assert list(errors_of(auth=auth)) == [field]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("max_payload_mib", 1, 1024),
        ("timeout_seconds", 1, 3600),
        ("concurrency", 1, 4096),
        ("stall_seconds", 5, 3600),
    ],
)
def test_a_limit_has_bounds(name: str, low: int, high: int) -> None:
    for value in (low, high):
        assert getattr(parsed(limits={name: value}).limits, name) == value
    for wrong in (low - 1, high + 1, True, "8", 1.5, [], -1):
        assert errors_of(limits={name: wrong}) == {f"limits.{name}": [f"Must be a whole number from {low} to {high}."]}


@pytest.mark.parametrize(("limits", "field"), [({"max_payload": 1}, "limits.max_payload"), ([8], "limits")])
def test_a_limit_that_there_is_not_is_refused(limits: Any, field: str) -> None:
    assert list(errors_of(limits=limits)) == [field]
