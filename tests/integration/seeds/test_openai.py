"""The OpenAI package against a vLLM service: chat, completions, streams, the catalogue, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from console.first_run import example
from tests.clients import call
from tests.integration.live import Live
from tests.servers.vllm import ADAPTER, ANSWER, NAME, PIRATE_ANSWER, QUESTION

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live-text")]
MESSAGES = [{"role": "user", "content": QUESTION}]


def ask(live: Live, what: str, **changes: Any) -> Any:
    given = {"base_url": f"{live.gateway}/v1", "key": live.key, "model": NAME, "messages": MESSAGES, "call": what}
    return call("openai_client", **{**given, **changes})


def test_chat_answers_in_a_whole_sentence(live_llm: Live) -> None:
    reply = ask(live_llm, "chat")
    assert reply["text"].strip() == ANSWER
    assert reply["usage"]["prompt_tokens"] > 0
    assert reply["usage"]["completion_tokens"] > 0


def test_a_stream_says_the_same_in_pieces_and_no_usage_nobody_asked_for(live_llm: Live) -> None:
    reply = ask(live_llm, "chat_stream", usage=False)
    assert reply["text"].strip() == ANSWER
    assert reply["pieces"] > 3
    assert (reply["usage"], reply["empty"]) == (None, 0)


def test_a_stream_ends_with_the_usage_that_was_asked_for(live_llm: Live) -> None:
    reply = ask(live_llm, "chat_stream", usage=True)
    assert reply["text"].strip() == ANSWER
    assert reply["usage"] == ask(live_llm, "chat")["usage"]["completion_tokens"]


def test_completions_and_the_service_prefix(live_llm: Live) -> None:
    reply = ask(live_llm, "completion", prompt=QUESTION, base_url=f"{live_llm.gateway}/services/{NAME}/v1")
    assert reply["text"]


def test_an_adapter_is_a_model_of_its_own_name(live_llm: Live) -> None:
    assert ask(live_llm, "chat", model=f"{NAME}:{ADAPTER}")["text"].strip() == PIRATE_ANSWER


def test_the_catalogue_lists_what_the_key_may_use_and_nothing_else(live_llm: Live) -> None:
    everything = ask(live_llm, "models")
    assert {NAME, example.NAME} <= set(everything["ids"])
    assert everything["one"] == NAME
    new_key = live_llm.api("keys/", {"name": "one", "scopes": ["infer"], "services": [NAME], "team": "default"})
    key = new_key.body["key"]
    seen = live_llm.until(lambda: ask(live_llm, "refused", key=key), lambda reply: reply["status"] == 200)
    assert seen["status"] == 200
    assert [name for name in ask(live_llm, "models", key=key)["ids"] if not name.startswith(f"{NAME}:")] == [NAME]


TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"request_id": {"type": "string"}, "image_url": {"type": ["string", "null"]}},
        },
    },
}


@pytest.mark.parametrize(
    "extra",
    [
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": False, "thinking_budget": 0, "effort": None}}},
        {"reasoning_effort": "low", "metadata": {"request_id": "r-1"}, "store": False, "user": "u-1"},
        {"tools": [TOOL], "tool_choice": "none"},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "a",
                    "schema": {"type": "object", "properties": {"request_id": {"type": "string"}}},
                },
            }
        },
    ],
)
def test_fields_that_ordinary_clients_send_are_taken(live_llm: Live, extra: dict[str, Any]) -> None:
    reply = ask(live_llm, "refused", extra=extra)
    assert reply["status"] == 200, reply


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"key": "isk_wrong"}, "AuthenticationError"),
        ({"model": "no-such-model"}, "NotFoundError"),
        ({"extra": {"extra_body": {"chat_template": "{{ 1 }}"}}}, "BadRequestError"),
        ({"extra": {"extra_body": {"chat_template_kwargs": {"tokenize": True}}}}, "BadRequestError"),
        ({"extra": {"n": 1000}}, "BadRequestError"),
        ({"model": example.NAME}, "NotFoundError"),
    ],
)
def test_a_refusal_is_the_error_that_the_package_knows(live_llm: Live, changes: dict[str, Any], kind: str) -> None:
    reply = ask(live_llm, "refused", **changes)
    assert reply["kind"] == kind, reply
    assert reply["message"]
