"""A language model as a service of the whole stack: made over the REST API, asked through the gateway."""

from __future__ import annotations

import pytest

from tests import vllm
from tests.integration.live import Live, send
from tests.vllm import chat_body, text_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), pytest.mark.xdist_group("live")]


def test_a_language_model_answers_through_the_gateway(live_llm: Live) -> None:
    headers = {"Authorization": f"Bearer {live_llm.key}"}
    answer = send(f"{live_llm.gateway}/v1/chat/completions", chat_body(), headers=headers)
    assert answer.status == 200, answer.body
    assert text_of(answer.body) == vllm.ANSWER


def test_its_adapter_is_asked_by_its_name(live_llm: Live) -> None:
    headers = {"Authorization": f"Bearer {live_llm.key}"}
    body = chat_body(f"{vllm.NAME}:{vllm.ADAPTER}")
    answer = send(f"{live_llm.gateway}/v1/chat/completions", body, headers=headers)
    assert answer.status == 200, answer.body
    assert text_of(answer.body) == vllm.PIRATE_ANSWER


def test_the_first_logprobs_take_no_replica_away(live_llm: Live) -> None:
    headers = {"Authorization": f"Bearer {live_llm.key}"}
    [before] = live_llm.service(vllm.NAME)["replica_list"]
    body = chat_body(logprobs=True, top_logprobs=2)
    answer = send(f"{live_llm.gateway}/v1/chat/completions", body, headers=headers, timeout=300)
    assert answer.status == 200, answer.body
    [after] = live_llm.service(vllm.NAME)["replica_list"]
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)
    events = [event["message"] for event in live_llm.api(f"services/{vllm.NAME}/events/").body["results"]]
    assert not [message for message in events if "hung" in message]


def test_what_does_not_fit_the_model_is_refused_before_anything_starts(live_llm: Live) -> None:
    body = {
        "name": "too-long", "framework": "vllm", "dataset": "samples", "model_path": vllm.NAME, "queue": "default",
        "framework_config": {"max_model_len": 1 << 20},
    }  # fmt: skip
    answer = live_llm.api("services/", body, method="POST")
    assert answer.status == 400
    assert "choose at most that" in str(answer.body["errors"]["model_path"])
