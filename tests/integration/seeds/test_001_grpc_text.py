"""Seed 001, GRPC-KServe: text generation over V2 gRPC, whole and streamed, the answer encoded as the question was."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import call
from tests.integration.live import Live
from tests.integration.seeds.conftest import metadata
from tests.servers.vllm import ANSWER, NAME, QUESTION

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live-text")]


def ask(live: Live, **changes: Any) -> Any:
    given = {
        "target": live.grpc_target,
        "model": NAME,
        "metadata": metadata(live.key),
        "prompt": QUESTION,
        "encoding": "int",
        "stream": False,
        "parameters": {"max_tokens": "64", "temperature": "0"},
        **changes,
    }
    return call("text_over_grpc", **given)


@pytest.mark.parametrize("encoding", ["int", "bytes", "raw"])
def test_a_prompt_is_answered_in_its_own_encoding(live_llm: Live, encoding: str) -> None:
    reply = ask(live_llm, encoding=encoding)
    assert reply["text"].strip() == ANSWER
    assert reply["kinds"] == [encoding]
    assert reply["pieces"] == 1


@pytest.mark.parametrize("encoding", ["int", "bytes", "raw"])
def test_model_infer_stream_says_the_same_in_pieces(live_llm: Live, encoding: str) -> None:
    reply = ask(live_llm, encoding=encoding, stream=True)
    assert reply["text"].strip() == ANSWER
    assert reply["kinds"] == [encoding]
    assert reply["pieces"] > 3


def test_max_tokens_counts_as_text_and_as_a_number(live_llm: Live) -> None:
    short = ask(live_llm, parameters={"max_tokens": "3", "temperature": "0"})
    same = ask(live_llm, parameters={"max_tokens": 3, "temperature": 0})
    assert short["text"] == same["text"]
    assert 0 < len(short["text"]) < len(ANSWER)
