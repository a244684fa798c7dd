"""Every spelling of an OpenAI body is read by the real vLLM as by the gateway, or is refused by the gateway.

vLLM logs the fields that its own parser took from each request; what the gateway took shows in its access log (service
and tokens, which it counts differently in streams) and in what it changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.differences import bodies, spellings
from tests.integration.differences.both import REFUSALS
from tests.integration.differences.spellings import CLOSED, JSON
from tests.integration.differences.text_plane import CHAT, Outcome, TextPlane
from tests.servers.vllm import Reading

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), pytest.mark.xdist_group("vllm")]
GOOD = spellings.with_member(b'"max_tokens": 1')
COMPLETIONS = "/v1/completions"
MOST_CHOICES = 16
ARGUMENTS = ("chat_template", "tokenize", "tools", "documents", "padding", "return_dict", "tokenizer_kwargs", "_x")
"""Names that are no variables of a template, but change what is done with it."""


@pytest.fixture(autouse=True)
def nothing_ends(plane: TextPlane) -> Iterator[None]:
    """Instead of that of the folder, which starts Triton."""
    yield
    assert plane.is_well()


@pytest.fixture(scope="module", autouse=True)
def still_answers(plane: TextPlane) -> Iterator[None]:
    """After all of it vLLM answers as before."""
    yield
    assert agree(plane, GOOD)


def with_member(member: str) -> bytes:
    return GOOD[:-1] + b", " + member.encode() + b"}"


def agree(plane: TextPlane, body: bytes, headers: list[tuple[str, str]] = JSON, path: str = CHAT) -> bool:
    """Whether the body passes the gateway. Fails unless vLLM then reads what the gateway took it for."""
    outcome = plane.through(body, headers, path)
    if not outcome.passed:
        assert outcome.answer.status in REFUSALS, (body[:200], outcome)
        assert outcome.answer.error and not outcome.readings, (body[:200], outcome)
        return False
    direct, readings = plane.direct(body, headers, path)
    assert outcome.answer.status == direct.status, (body[:200], outcome, direct)
    assert len(outcome.readings) == len(readings), (body[:200], outcome, readings)
    if not readings:
        assert outcome.answer == direct, (body[:200], outcome, direct)
    for reading, plain in zip(outcome.readings, readings, strict=True):
        check(reading, plain, outcome)
    return True


def check(reading: Reading, plain: Reading, outcome: Outcome) -> None:
    """`plain`: vLLM's reading of the same body without a gateway before it."""
    body = dict(reading.body)
    options, stream_options = body.pop("stream_options", None), plain.body.get("stream_options")
    assert body == {name: value for name, value in plain.body.items() if name != "stream_options"}
    assert options == stream_options or (body["stream"] is True and options["include_usage"] is True), (
        options,
        stream_options,
    )
    assert body["model"].partition(":")[0] == outcome.line["service"]
    assert not [name for name in CLOSED if name in body], body
    for name, value in (body.get("chat_template_kwargs") or {}).items():
        assert name not in ARGUMENTS and not isinstance(value, dict | list), body
    assert (body.get("n") or 1) <= MOST_CHOICES
    if outcome.answer.status == 200:
        streams = bool(body.get("stream"))
        assert outcome.streamed is streams
        counted = (outcome.line["prompt_tokens"], outcome.line["completion_tokens"])
        assert counted == tokens(outcome, reading, streams)
        if streams:
            assert (b'"usage":{' in outcome.answer.body) is bool((stream_options or {}).get("include_usage"))


def tokens(outcome: Outcome, reading: Reading, streams: bool) -> tuple[Any, Any]:
    """Tokens of the prompt and of the answer. All streams here have one token."""
    if streams:
        return reading.prompt_tokens, 1
    usage = json.loads(outcome.answer.body)["usage"]
    assert usage["prompt_tokens"] == reading.prompt_tokens
    return usage["prompt_tokens"], usage["completion_tokens"]


@pytest.mark.parametrize("value", bodies.VALUES, ids=range(len(bodies.VALUES)))
def test_a_number(plane: TextPlane, value: str) -> None:
    for name in ("temperature", "n", "seed", "top_p", "x"):
        agree(plane, with_member(f'"{name}": {value}'))
    agree(plane, spellings.with_member(f'"max_tokens": {value}'.encode()))
    agree(plane, with_member(f'"logit_bias": {{"1": {value}}}, "x": [[{value}, {value}], {value}]'))


@pytest.mark.parametrize("value", spellings.PLAIN_NUMBERS)
def test_a_number_that_is_one_passes(plane: TextPlane, value: str) -> None:
    assert agree(plane, with_member(f'"x": [{value}, {{"y": {value}}}]'))


@pytest.mark.parametrize("text", bodies.TEXTS, ids=range(len(bodies.TEXTS)))
def test_a_text(plane: TextPlane, text: bytes) -> None:
    agree(plane, GOOD[:-1] + b', "user": ' + text + b"}")
    agree(plane, GOOD.replace(b'"llama"', text))
    agree(plane, GOOD.replace(b'"a"', text))
    agree(plane, GOOD[:-1] + b", " + text + b": 1}")


@pytest.mark.parametrize("wrapped", bodies.WRAPPED)
def test_an_encoding(plane: TextPlane, wrapped: str) -> None:
    assert agree(plane, bodies.WRAPPED[wrapped](GOOD)) is (wrapped.startswith("blanks") or wrapped == "UTF-7")
    agree(plane, bodies.WRAPPED[wrapped](with_member('"chat_template": "x"')))
    agree(plane, bodies.WRAPPED[wrapped](GOOD), [("Content-Type", "application/json; charset=utf-16")])


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        "application/json ; charset=latin-1",
        "application/json, text/plain",
        "text/plain, application/json",
        "application/vnd.api+json",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json;",
        "application/ json",
        "",
    ],
)
def test_a_type(plane: TextPlane, kind: str) -> None:
    agree(plane, GOOD, [("Content-Type", kind)])
    if kind:  # an empty one beside another does not count, and does not go on
        agree(plane, GOOD, [("Content-Type", kind), ("Content-Type", "application/json")])


@pytest.mark.parametrize("model", [*spellings.MODELS, '"llama:pirate"', '"llama:Pirate"', '"other"', '"other:pirate"'])
def test_a_name_of_a_model(plane: TextPlane, model: str) -> None:
    body = GOOD.replace(b'"llama"', model.encode())
    agree(plane, body)
    agree(plane, body[:-1] + b', "stream": true}')


@pytest.mark.parametrize("stream", spellings.STREAMS)
def test_whether_it_is_a_stream(plane: TextPlane, stream: str) -> None:
    agree(plane, with_member(f'"stream": {stream}'))


@pytest.mark.parametrize("name", ["enable_thinking", "tokenizer", "Tokenize", "\\u00e9", "a b", "", *ARGUMENTS])
def test_a_variable_of_a_template(plane: TextPlane, name: str) -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
    for spelling in (name, escaped, f"{name} ", f"{name}\\u0000", f'a": 1, "{name}', f'{name}": 1, "{name}'):
        for value in ("true", "1.5", '"x"', "null", "[1]", '{"a": 1}', "NaN"):
            agree(plane, with_member(f'"chat_template_kwargs": {{"{spelling}": {value}}}'))
    agree(plane, with_member(f'"chat_template_kwargs": {{"a": 1}}, "chat_template_kwargs": {{"{name}": 1}}'))
    agree(plane, with_member(f'"chat_template_kwargs": [{{"{name}": 1}}]'))
    agree(plane, with_member(f'"metadata": {{"chat_template_kwargs": {{"{name}": "x"}}}}'))


@pytest.mark.parametrize("name", CLOSED)
def test_data_of_the_caller(plane: TextPlane, name: str) -> None:
    """Names in it mean nothing to vLLM, as the gateway takes it."""
    schema = f'{{"type": "object", "properties": {{"{name}": {{"type": "string"}}}}}}'
    agree(plane, with_member(f'"tools": [{{"type": "function", "function": {{"name": "f", "parameters": {schema}}}}}]'))
    named = f'{{"name": "f", "schema": {schema}}}'
    agree(plane, with_member(f'"response_format": {{"type": "json_schema", "json_schema": {named}}}'))
    agree(plane, with_member(f'"metadata": {{"{name}": "x"}}'))
    agree(plane, with_member(f'"metadata": {{"{name}": "x"}}, "{name}": 1'))


@pytest.mark.parametrize(
    "prompt",
    [
        '"a"',
        '"\\u0061"',
        '["a"]',
        '["a", "b"]',
        "[1, 2, 3]",
        "[[1, 2], [3]]",
        '[[1], "a"]',
        "[1.0]",
        "[1.5]",
        "[-1]",
        "[99999999]",
        "[true]",
        "[null]",
        "null",
        "true",
        "1",
        "[]",
        "[[]]",
        '""',
        '"", "prompt": "b"',
        '{"a": 1}',
        '"a", "prompt_embeds": "x"',
        '"a", "echo": true',
        '"a", "suffix": "b"',
        '"a", "best_of": 2',
        '["a", "b"], "n": 2',
        '"a", "stream": true',
        '["a", "b"], "stream": false',
        '"a", "logprobs": 1',
        '"a", "user": "\\ud800"',
    ],
)
def test_a_prompt_of_a_completion(plane: TextPlane, prompt: str) -> None:
    agree(plane, f'{{"model": "llama", "max_tokens": 1, "prompt": {prompt}}}'.encode(), path=COMPLETIONS)


@pytest.mark.parametrize(
    "spelling", ["{0}", "{1}", "{2}", " {0}", "{0} ", "{0}\\u0000", "{3}", '{0}": 1, "{0}'], ids=range(8)
)
@pytest.mark.parametrize("name", CLOSED)
def test_a_field_that_is_closed(plane: TextPlane, name: str, spelling: str) -> None:
    """Spelled plainly, in escapes, half in escapes, with a blank or a nul, in capitals, twice."""
    escaped = [f"\\u{ord(letter):04x}" for letter in name]
    half = "".join(letter if number % 2 else escaped[number] for number, letter in enumerate(name))
    member = '"' + spelling.format(name, "".join(escaped), half, name.upper()) + '": '
    for value in ("1", '"x"', '{"a": 1}', "null") if spelling == "{0}" else ("1",):
        agree(plane, with_member(member + value))
    agree(plane, with_member(f'"x": {{{member}1}}'))


@pytest.mark.parametrize("depth", [1, 60, 61, 62, 63, 64, 65, 1000, 100_000])
def test_a_nesting(plane: TextPlane, depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        assert agree(plane, with_member(f'"x": {opening * depth}1{closing * depth}')) is (depth + 1 <= 64)
        assert not agree(plane, with_member(f'"x": {opening * depth}'))
