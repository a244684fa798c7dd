"""What the official client makes of an answer, and the words for it."""

from __future__ import annotations

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import hf_raise_for_status

from datasets.errors import SourceError
from datasets.sources.huggingface.errors import Target, words

SECRET = "what the server says in its body"


def error_of(
    status: int, headers: dict[str, str] | None = None, *, token: bool = False, scheme: str = "https"
) -> SourceError:
    request = httpx2.Request("GET", f"{scheme}://hub.test/api/models/org/name/revision/main?Signature=abc")
    response = httpx2.Response(status, headers=headers or {}, json={"error": SECRET}, request=request)
    target = Target("hub.test", f"{scheme}://hub.test/org/name", "org/name", "main", token)
    with pytest.raises(HfHubHTTPError) as raised:
        hf_raise_for_status(response)
    error = words(raised.value, target, "config.json")
    assert SECRET not in str(error) + error.hint
    assert "Signature" not in str(error) + error.hint
    return error


def test_a_gated_repository_says_where_to_ask() -> None:
    error = error_of(401, {"X-Error-Code": "GatedRepo"})
    assert error.permanent
    assert "org/name is gated" in str(error)
    assert "https://hub.test/org/name" in error.hint
    assert "token" in error.hint


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_token_that_is_not_accepted_is_not_taken_for_a_missing_repository(scheme: str) -> None:
    error = error_of(401, {"X-Error-Message": "Invalid credentials in Authorization header"}, token=True, scheme=scheme)
    assert error.message == "hub.test does not accept the token."
    assert error.permanent
    assert error.option == "token"


def test_a_token_without_the_right_scope_says_what_it_needs() -> None:
    assert "read access" in error_of(403, {"X-Error-Message": "Forbidden"}, token=True).hint


def test_being_asked_too_often_says_how_long_to_wait() -> None:
    policy = '"fixed window";"resolvers";q=3000;w=300'
    error = error_of(429, {"RateLimit": '"resolvers";r=0;t=55', "RateLimit-Policy": policy})
    assert not error.permanent
    assert error.wait == 55
    assert "55 seconds" in str(error)
    assert "token" in error.hint
    assert error_of(429, {"Retry-After": "7"}, token=True).wait == 7
    assert error_of(429, {"RateLimit": '"api";r=12;t=55'}).wait == 0, "the headers are on every answer"


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_what_passes_is_worth_another_try(status: int) -> None:
    assert not error_of(status).permanent


@pytest.mark.parametrize("status", [400, 404, 405, 410])
def test_what_is_no_hub_is_to_be_checked(status: int) -> None:
    error = error_of(status)
    assert error.permanent
    assert error.hint == "Check the server."
