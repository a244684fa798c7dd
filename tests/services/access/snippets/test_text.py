"""Snippets of text and of KServe V1 as text: quoting, keys, headers. That they run is in tests/integration."""

from __future__ import annotations

import ast
import json
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.access.doors import Address
from services.access.snippets.text import text_snippets
from services.access.snippets.v1 import v1_snippets
from services.access.snippets.v2 import LABELS, Snippets
from services.clients.generation.call import Ask
from services.clients.inference.call import Model
from services.specs import Tensor
from tests.services.access.snippets.test_v2 import words_of

CHAT = Ask("chat", "svc", ({"role": "user", "content": 'it\'s "quoted" $HOME `id` ${x} \\n é\n'},), "", 16, 0.0, True)
ASKS = [
    CHAT,
    Ask("chat", "svc", CHAT.messages),
    Ask("completion", "svc", prompt="a", stream=True),
    Ask("completion", "svc", prompt="a", max_tokens=5),
    Ask("embedding", "svc", prompt="a"),
]
SERVICES = [
    Address("svc", "127.0.0.1:8080", framework="vllm"),
    Address("svc", "127.0.0.1:8080", framework="vllm", public=True),
    Address("svc", "127.0.0.1:8080", framework="vllm", key_header="x-k", parameters=(("x-t", "it's"),), tls=True),
]


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: f"{ask.task} {ask.stream}")
@pytest.mark.parametrize("address", SERVICES, ids=["key", "public", "own header"])
def test_each_is_well_formed_and_says_what_it_needs(ask: Ask, address: Address) -> None:
    snippets = text_snippets(address, ask)
    assert set(snippets) <= set(LABELS)
    for name in ("python_openai", "python_grpc"):
        ast.parse(snippets[name])
    for text in snippets.values():
        assert ("API_KEY" in text) is not address.public
        assert ("https://" in text or "grpc.secure_channel" in text) is address.tls
    checked = subprocess.run(["bash", "-n"], input=snippets["curl"].encode(), capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


@given(st.text(min_size=1, max_size=40))
def test_any_prompt_is_data_never_code(text: str) -> None:
    if "\0" in text or any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        return  # no argument of a program can hold these
    ask = Ask("completion", "svc", prompt=text)
    snippets = text_snippets(SERVICES[0], ask)
    words = words_of(snippets["curl"])
    assert json.loads(words[words.index("-d") + 1])["prompt"] == text
    for name in ("python_openai", "python_grpc"):
        literals = {node.value for node in ast.walk(ast.parse(snippets[name])) if isinstance(node, ast.Constant)}
        assert text in literals
    line = next(line for line in snippets["javascript"].split("\n") if line.startswith("  body: "))
    assert json.loads(line.removeprefix("  body: JSON.stringify(").removesuffix("),"))["prompt"] == text


def test_a_service_s_own_headers_are_sent_by_each() -> None:
    for text in text_snippets(SERVICES[2], CHAT).values():
        assert "x-k" in text and "x-t" in text and "authorization" not in text.lower()


def v1(address: Address) -> Snippets:
    inputs = (Tensor("x", "FP32", (-1, 2)), Tensor("t", "BYTES", (1,)))
    return v1_snippets(address, {"instances": [{"x": [0.5, 1], "t": "it's"}]}, Model("svc", inputs, ()))


@pytest.mark.parametrize("address", SERVICES, ids=["key", "public", "own header"])
def test_those_of_v1_are_well_formed(address: Address) -> None:
    snippets = v1(address)
    ast.parse(snippets["python_v1"])
    ast.parse(snippets["python_tfserving"])
    words = words_of(snippets["curl"])
    assert json.loads(words[words.index("-d") + 1]) == {"instances": [{"x": [0.5, 1], "t": "it's"}]}
    assert "DT_FLOAT" in snippets["python_tfserving"] and "DT_STRING" in snippets["python_tfserving"]
    [channel] = re.findall(r"with grpc\.\w+\((.*)\) as channel", snippets["python_tfserving"])
    assert channel.endswith(", OPTIONS"), "an answer may be larger than what grpc takes without options"
