"""Tokens are counted from answers that the client gets exactly as it asked for them, piece by piece."""

from __future__ import annotations

import http.client
import json
import time
from itertools import pairwise
from typing import Any

import pytest

from tests.integration.gateway.doors import CHAT, COMPLETIONS, EMBEDDINGS, KEY, TOKENS, Doors
from tests.servers.gateway import text
from tests.servers.gateway.rig import Answer, until

pytestmark = pytest.mark.integration
STREAM: dict[str, Any] = {"model": "llama", "stream": True, "max_tokens": 6}
OPTIONS: list[Any] = [
    ...,
    None,
    {},
    {"include_usage": False},
    {"include_usage": None},
    {"include_usage": True},
    {"continuous_usage_stats": False},
    {"continuous_usage_stats": False, "include_usage": True},
]


def logged(doors: Doors, answer: Answer) -> dict[str, Any]:
    """The line of the access log for the request that was answered so."""
    mine = answer.headers["x-request-id"]
    return until(lambda: [line for line in doors.gateway.log_lines() if line["request_id"] == mine])[0]


@pytest.mark.parametrize("split", [0, 1, 3, 40, 1000])
@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
def test_a_stream_is_what_was_asked_for_and_its_tokens_are_logged(doors: Doors, options: Any, split: int) -> None:
    body = {**STREAM, "user": f"split={split}"} | ({} if options is ... else {"stream_options": options})
    for path in (CHAT, COMPLETIONS):
        answer = doors.post(f"{path}?{options}".replace(" ", ""), body)
        assert answer.body == b"".join(text.events(path, body))
        got = json.loads(doors.backend.last()["body"])
        assert got["stream_options"]["include_usage"] is True
        assert {**got, "stream_options": 0} == {**body, "stream_options": 0}
    line = logged(doors, answer)
    assert (line["prompt_tokens"], line["completion_tokens"], line["door"]) == (
        text.PROMPT_TOKENS,
        6,
        "openai",
    )


@pytest.mark.parametrize("split", [0, 1, 5000])
@pytest.mark.parametrize(("path", "model", "tokens"), [(CHAT, "llama", 6), (EMBEDDINGS, "vectors", 0)])
def test_the_usage_is_found_wherever_it_is(doors: Doors, path: str, model: str, tokens: int, split: int) -> None:
    body = {"model": model, "max_tokens": 6, "input": "a", "user": f"split={split}"}
    answer = doors.post(path, body)
    assert json.loads(answer.body) == text.whole(path, body)
    line = logged(doors, answer)
    assert (line["prompt_tokens"], line["completion_tokens"]) == (text.PROMPT_TOKENS, tokens)


def test_of_a_stream_that_the_client_leaves_the_tokens_so_far_are_logged(doors: Doors) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", doors.gateway.port, timeout=10)
    body = json.dumps({**STREAM, "max_tokens": 5, "user": "stall"})
    connection.request("POST", CHAT + "?left", body, {"X-API-Key": KEY, "Content-Type": "application/json"})
    response = connection.getresponse()
    expected = b"".join(text.events(CHAT, {"max_tokens": 5}))
    assert response.read(len(expected)) == expected
    assert connection.sock is not None
    response.close()
    connection.close()
    until(lambda: [line for line in doors.gateway.log_lines() if "downstream" in line["details"]])
    line = [line for line in doors.gateway.log_lines() if "downstream" in line["details"]][-1]
    assert line["completion_tokens"] == 5


def test_events_come_one_by_one(doors: Doors) -> None:
    """An event is passed on when it is whole, long before the next one is written."""
    connection = http.client.HTTPConnection("127.0.0.1", doors.gateway.port, timeout=10)
    body = json.dumps({**STREAM, "max_tokens": 4, "user": "wait=300"})
    connection.request("POST", CHAT, body, {"X-API-Key": KEY, "Content-Type": "application/json"})
    response = connection.getresponse()
    came = []
    for event in text.events(CHAT, {"max_tokens": 4}):
        assert response.read(len(event)) == event
        came.append(time.monotonic())
    assert all(later - earlier > 0.15 for earlier, later in pairwise(came[:5]))
    connection.close()


def test_a_key_with_a_limit_of_tokens_is_stopped_after_them(fresh_doors: Doors) -> None:
    request_body = {"model": "llama", "max_tokens": 6}
    assert fresh_doors.post(CHAT, request_body, key=TOKENS).status == 200  # 13 of 20
    assert fresh_doors.post(CHAT, {**request_body, "stream": True}, key=TOKENS).status == 200  # 26 of 20
    before = fresh_doors.backend.count()
    for body in (request_body, b"not even looked at"):
        answer = fresh_doors.post(CHAT, body, key=TOKENS)
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert f"in {answer.headers['retry-after']} s" in error["message"]
    assert fresh_doors.backend.count() == before
    assert fresh_doors.post(CHAT, request_body).status == 200
