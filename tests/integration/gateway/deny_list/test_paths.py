"""Two spellings of a path that RFC 3986 (section 6.2.2) calls equal are one path, any other spelling is another.

The gateway decides by the same bytes that the backend gets.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.gateway.doors import BOTH, CHAT, Doors
from tests.integration.gateway.raw import http1, http2

pytestmark = pytest.mark.integration
INFER, MODEL, PREDICT = "/v2/models/mnist/infer", "/v2/models/mnist", "/v1/models/mnist:predict"
KEY = [("x-api-key", BOTH), ("content-type", "application/json")]


def every_letter(path: str, case: str) -> str:
    """With each letter, digit, hyphen, dot, underscore and tilde of it as an escape."""
    return "".join(f"%{ord(c):02{case}}" if c.isalnum() or c in "-._~" else c for c in path)


EQUAL = {
    **{
        f"{path} as {case}": (method, every_letter(path, case), path)
        for method, path in (
            ("POST", INFER),
            ("GET", MODEL),
            ("POST", PREDICT),
            ("GET", "/v2/models/open-text/ready"),
            ("GET", "/v2/models/mnist/versions/12"),
            ("GET", "/v1/models/llama:french"),
        )
        for case in ("x", "X")
    },
    "one letter": ("POST", "/v2/models/%6dnist/infer", INFER),
    "the last letter": ("POST", "/v2/models/mnist/infe%72", INFER),
    "a dot": ("POST", "/v2/./models/mnist/infer", INFER),
    "a dot as an escape": ("POST", "/v2/%2e/models/%2E/mnist/infer", INFER),
    "two dots": ("POST", "/v2/models/small/../mnist/infer", INFER),
    "two dots as escapes": ("POST", "/v2/models/small/%2e%2E/mnist/infer", INFER),
    "two dots at the root": ("POST", "/../../v2/models/mnist/infer", INFER),
    "from a closed path": ("POST", "/v2/repository/../models/mnist/infer", INFER),
    "a prefix": ("POST", "/services/%6dnist/v2/models/m%6eist/infer", INFER),
    "a prefix that goes away": ("POST", "/services/small/../mnist/v2/models/mnist/infer", INFER),
    # Not in the RFC, but what clients send: quoted colons, and slashes that a base URL ended with.
    "a colon as an escape": ("POST", "/v1/models/mnist%3Apredict", PREDICT),
    "a colon in lower case": ("POST", "/v1/models/mnist%3apredict", PREDICT),
    "slashes": ("POST", "//v2//models/mnist//infer", INFER),
}
CLOSED = "/v2/models/mnist/load"
OTHER = {
    "a slash as an escape": ("POST", "/v2/models%2Fmnist/infer", 400),
    "a slash in lower case": ("POST", "/v2/models/mnist%2finfer", 400),
    "a backslash as an escape": ("POST", "/v2/models%5Cmnist/infer", 400),
    "a nul": ("POST", "/v2/models/mnist%00/infer", 400),
    "an escape of an escape": ("POST", "/v2/models/%256dnist/infer", 404),
    "another escape": ("POST", "/v2/models/mnist%20/infer", 404),
    "half an escape": ("POST", "/v2/models/mnis%7/infer", 404),
    "no escape": ("POST", "/v2/models/mnis%zz/infer", 404),
    "capitals": ("POST", "/v2/models/MNIST/infer", 404),
    "capitals as escapes": ("POST", "/v2/models/%4dNIST/infer", 404),
    "capitals in the path": ("POST", "/V2/models/mnist/infer", 404),
    "a slash at the end": ("POST", "/v2/models/mnist/infer/", 404),
    "a parameter": ("POST", "/v2/models/mnist;a/infer", 404),
    "a question mark as an escape": ("POST", "/v2/models/mnist/infer%3Fa", 404),
    "a closed path as escapes": ("POST", every_letter(CLOSED, "x"), 404),
    "a closed path by dots": ("POST", "/v2/models/mnist/infer/../load", 404),
    "a closed path by escaped dots": ("POST", "/v2/models/mnist/infer/%2e%2e/load", 404),
    "the root by dots": ("POST", "/v2/models/mnist/infer/../../../..", 404),
    "another service by dots": ("POST", "/services/mnist/v2/models/small/infer", 400),
}
SENDERS = pytest.mark.parametrize("send", [http1, http2])


@SENDERS
@pytest.mark.parametrize("name", EQUAL)
def test_equal_spellings_are_one_path_to_the_gateway_and_to_what_is_behind(doors: Doors, send: Any, name: str) -> None:
    method, spelled, plain = EQUAL[name]
    seen = []
    for path in (spelled, plain):
        before = doors.backend.count(), doors.bridge.count()
        assert send(doors.gateway.port, method, path, KEY, b"{}" if method == "POST" else b"") == 200
        seen.append([*doors.backend.seen(before[0]), *doors.bridge.seen()[before[1] :]])
    assert [[call["call"] for call in calls] for calls in seen] == [[f"{method} {plain}"]] * 2


@SENDERS
@pytest.mark.parametrize("name", OTHER)
def test_any_other_spelling_is_another_path(doors: Doors, send: Any, name: str) -> None:
    method, path, status = OTHER[name]
    before = doors.count()
    assert send(doors.gateway.port, method, path, KEY, b"{}") == status
    assert doors.count() == before


def test_names_before_a_path_are_compared_with_what_it_spells(doors: Doors) -> None:
    for headers in ({"mm_vmodel_id": "mnist"}, {"Host": "mnist.localhost"}):
        assert doors.post("/v2/models/%6d%6Eist/infer", {}, key=BOTH, **headers).status == 200
        assert doors.post("/v2/models/%73mall/infer", {}, key=BOTH, **headers).status == 400
    assert doors.post("/v1/ch%61t/completions", {"model": "llama", "messages": []}).status == 200
    assert doors.backend.last()["call"] == f"POST {CHAT}"
    assert doors.post("/v1/embeddings/../chat/completions", {"model": "llama", "messages": []}).status == 200


def test_a_query_goes_on_as_it_was_sent(doors: Doors) -> None:
    answer = doors.gateway.call("GET", "/v2/models/llama%3Afrench?a=%41%3A%2F&b=../x", X_API_Key=BOTH)
    assert answer.status == 200
    assert doors.bridge.last()["call"] == "GET /v2/models/llama:french"
