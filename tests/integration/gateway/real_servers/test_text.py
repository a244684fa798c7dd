"""The OpenAI door in front of the real vLLM: the same answers as without a gateway, and tokens as vLLM counts them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.gateway.snapshot import Endpoint, Snapshot
from tests.servers.gateway.rig import Answer, Gateway, until
from tests.servers.vllm import SHARED, RunningVllm, chat_body
from tests.services.gateway import snapshots

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), pytest.mark.xdist_group("vllm")]
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
KEY = "isk_textkey00000_0000000000000000000000000000000000000000000"
USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def gateway(llama_server: RunningVllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    endpoint = Endpoint(llama_server.listeners.http, llama_server.listeners.grpc)
    snapshot = Snapshot(services=(snapshots.text(SHARED, endpoint),), keys=(snapshots.key(KEY, "text"),))
    with Gateway.started(tmp_path_factory.mktemp("g") / "g", snapshot) as running:
        until(lambda: ask(running, CHAT, chat_body(SHARED, max_tokens=1)).status == 200)
        yield running


def ask(gateway: Gateway, path: str, body: dict[str, Any]) -> Answer:
    return gateway.call("POST", path, json.dumps(body).encode(), X_API_Key=KEY, Content_Type="application/json")


def direct(server: RunningVllm, path: str, body: dict[str, Any]) -> bytes:
    connection = http.client.HTTPConnection(server.http, timeout=240)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def events(body: bytes) -> list[Any]:
    """A stream's events, without what is new in every answer."""
    payloads = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line]
    parsed = [each.decode() if each == b"[DONE]" else json.loads(each) for each in payloads]
    for each in parsed:
        if isinstance(each, dict):
            for name in ("id", "created", "system_fingerprint"):
                each.pop(name, None)
    return parsed


def joined(stream: list[Any]) -> list[Any]:
    """With neighbouring pieces of text as one: how many tokens vLLM puts into an event is a matter of the moment."""
    pieces: list[Any] = []
    for event in stream:
        if pieces and _has_text(pieces[-1]) and _has_text(event):
            pieces[-1] = _merged(pieces[-1], event)
        else:
            pieces.append(event)
    return pieces


def _has_text(event: Any) -> bool:
    return isinstance(event, dict) and bool(event["choices"]) and "role" not in event["choices"][0].get("delta", {})


def _merged(one: Any, other: Any, name: str = "") -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _merged(one.get(key), other.get(key), key) for key in {**one, **other}}
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(*pair) for pair in zip(one, other, strict=True)] if name == "choices" else one + other
    if name in ("content", "text") and isinstance(one, str) and isinstance(other, str):
        return one + other
    assert one is None or other is None or one == other, (name, one, other)
    return other if one is None else one


def logged(gateway: Gateway, answer: Answer) -> tuple[int, int]:
    mine = answer.headers["x-request-id"]
    line = until(lambda: [line for line in gateway.log_lines() if line["request_id"] == mine])[0]
    return line["prompt_tokens"], line["completion_tokens"]


def body_for(path: str, **changes: Any) -> dict[str, Any]:
    if path == CHAT:
        return chat_body(SHARED, **{"temperature": 0, **changes})
    return {"model": SHARED, "prompt": "What", "max_tokens": 9, "temperature": 0, **changes}


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_an_answer_is_logged_with_the_tokens_that_vllm_tells(gateway: Gateway, path: str) -> None:
    answer = ask(gateway, path, body_for(path, n=2, temperature=0.5))
    usage = json.loads(answer.body)["usage"]
    assert logged(gateway, answer) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert usage["completion_tokens"] > 3


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("more", [{}, USAGE, {"stream_options": None}, {"logprobs": True}, {"logprobs": 1}])
def test_a_stream_says_the_same_as_without_the_gateway(
    llama_server: RunningVllm, gateway: Gateway, path: str, more: dict[str, Any]
) -> None:
    if more.get("logprobs") not in (None, path == CHAT or 1):
        pytest.skip("not a value of this door")
    body = body_for(path, stream=True, **more)
    expected = events(direct(llama_server, path, body))  # first: vLLM compiles what it needs for a new kind of request
    answer = ask(gateway, path, body)
    got = events(answer.body)
    assert joined(got) == joined(expected)
    usage = events(direct(llama_server, path, {**body, **USAGE}))[-2]["usage"]
    assert logged(gateway, answer) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert ("usage" in str(got)) is (more == USAGE)
