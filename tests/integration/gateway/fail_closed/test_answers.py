"""A script that fails on the answer lets no tokens pass that were not counted: the client gets an error instead."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from services.gateway.envoy import names
from tests.integration.gateway.doors import CHAT, EMBEDDINGS, TOKENS, Doors
from tests.integration.gateway.stage import Stage, infer_request, refused
from tests.integration.gateway.test_bridged import V2, call
from tests.integration.gateway.v2.test_typed import answer as backend_answer
from tests.integration.gateway.v2.test_typed import got, request_for
from tests.servers.gateway import text
from tests.servers.gateway.rig import Answer, until

pytestmark = pytest.mark.integration
# Where in the script it fails: what stands there, and what stands there instead.
AT_HEADERS = ("local on_use = counter(handle, seen.tokens_of)", "error('broken')")
READING = ("local start = string.find(text, '\"usage\"', at or 1, true)", "error('broken')")
WRITING = (
    "local function log(handle, name, value)",
    'local function log(_, name) if name == "prompt_tokens" then error() end',
)
LATE = ("on_use(nil, events, false)", "on_use(nil, events, false) if events > 2 then error('broken') end")
IN_TRAILERS = ("local trailers = handle:trailers()", "error('broken')")


def break_script(doors: Doors | Stage, where: tuple[str, str], name: str = names.TEXT) -> None:
    def change(manager: dict[str, Any]) -> None:
        config = next(each for each in manager["http_filters"] if each["name"] == name)["typed_config"]
        config = config.get("extension_config", {}).get("typed_config", config)
        source = config.get("default_source_code") or config["source_codes"]["openai"]
        assert source["inline_string"].count(where[0]) == 1
        source["inline_string"] = source["inline_string"].replace(*where)

    doors.gateway.restart(change)


def line_of(doors: Doors, answer: Answer) -> dict[str, Any]:
    mine = answer.headers["x-request-id"]
    return until(lambda: [line for line in doors.gateway.log_lines() if line["request_id"] == mine])[0]


def code_of(sent: bytes) -> str:
    """The code of the error; of what is no JSON, that it was spoiled."""
    try:
        return str(json.loads(sent)["error"]["code"])
    except json.JSONDecodeError:
        return "spoiled"


@pytest.mark.parametrize("where", [AT_HEADERS, READING, WRITING], ids=["at the headers", "reading", "writing"])
def test_an_answer_that_cannot_be_counted_is_an_error(doors: Doors, where: tuple[str, str]) -> None:
    break_script(doors, where)
    for path, model in ((CHAT, "llama"), (EMBEDDINGS, "vectors")):
        for user in ("length", "", "split=100", "length,split=1000"):
            answer = doors.post(path, {"model": model, "input": "a", "user": user, "max_tokens": 6})
            line = line_of(doors, answer)
            is_announced = "length" in user or where is AT_HEADERS
            assert (answer.status, line["status"]) == ((502, 502) if is_announced else (200, 200))
            # The beginning of an answer without a length may have been sent by then: no longer JSON.
            assert code_of(answer.body) == "not_counted" or (code_of(answer.body) == "spoiled" and not is_announced)
    assert doors.gateway.process is not None
    assert doors.gateway.process.poll() is None
    assert "not counted" in (doors.gateway.directory / "envoy.log").read_text()


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["hidden", "asked"])
@pytest.mark.parametrize("user", ["wait=30", "split=7,wait=5"])
def test_a_stream_ends_where_it_cannot_be_counted_any_more(doors: Doors, user: str, options: dict[str, Any]) -> None:
    break_script(doors, LATE)
    answer = doors.post(CHAT, {"model": "llama", "stream": True, "max_tokens": 6, "user": user, **options})
    *events, last, done = [each for each in answer.body.split(b"\n\n") if each.startswith(b"data: ")]
    assert (code_of(last.removeprefix(b"data: ")), done) == ("not_counted", b"data: [DONE]")
    passed = text.events(CHAT, {"max_tokens": 6})
    assert [each + b"\n\n" for each in events[:3]] == passed[:3]
    assert len(events) <= 4  # the fourth, in pieces, is cut short
    line = line_of(doors, answer)
    assert 2 <= line["completion_tokens"] <= 3


def test_an_answer_that_cannot_be_counted_leaves_its_key_no_tokens(doors: Doors) -> None:
    break_script(doors, READING)
    assert doors.post(CHAT, {"model": "llama", "user": "length"}, key=TOKENS).status == 502
    answer = doors.post(CHAT, {"model": "llama"}, key=TOKENS)
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_what_the_bridge_tells_is_logged_though_the_script_fails(doors: Doors) -> None:
    break_script(doors, IN_TRAILERS)
    message = infer_request("llama").SerializeToString()
    call(doors, V2 + "ModelInfer", message, key=TOKENS)
    log = until(lambda: [line for line in doors.gateway.log_lines() if line["door"] == "llm-grpc"])
    assert (log[-1]["bridge_prompt_tokens"], log[-1]["bridge_completion_tokens"]) == ("5", "6")
    with doors.channel() as channel:
        assert refused(channel.unary_unary(V2 + "ModelInfer"), message, key=TOKENS)[0] is (
            grpc.StatusCode.RESOURCE_EXHAUSTED
        )


def test_an_answer_that_cannot_be_put_in_kind_passes_as_it_is(stage: Stage) -> None:
    """It has nothing to do with who may call what, or with what is counted."""
    break_script(stage, ("local parts, outputs, raw = {}, {}, {}", "error('broken')"), names.TYPED)
    answer = backend_answer(("INT32", b"abcd"))
    assert got(stage, request_for(answer)) == answer.SerializeToString()
