"""Every spelling of a V2 body is read by the gateway as Triton reads it, or is refused; none ends Triton."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.differences import bodies
from tests.integration.differences.both import READ_SHARED_MEMORY, Both
from tests.integration.fuzz.arena import EXAMPLES

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
FOUND: list[dict[str, Any]] = json.loads(Path(__file__).with_name("found.json").read_text())
SHAPE, TEXT_DATA, DATA = b'"shape": [1, 2]', b'["a"]', b'"data": [1, 2]'
TEXT = '"x"'


def body_of(case: dict[str, Any]) -> bytes:
    """Parts of a body: a text, or a text and how often it is repeated."""
    parts = [part if isinstance(part, list) else [part, 1] for part in case["body"]]
    return b"".join((text.encode("latin-1")) * times for text, times in parts)


@pytest.mark.parametrize("case", FOUND, ids=[each["what"] for each in FOUND])
def test_what_once_got_through_is_refused(both: Both, case: dict[str, Any]) -> None:
    """None of these may be sent to Triton itself: most of them end it."""
    body = body_of(case)
    headers = [(name, value.replace("@", str(len(body)))) for name, value in case["headers"].items()]
    before = both.arena.backend.count()
    for answer in (both.gateway(headers, body), both.keyless(headers, body)):
        assert (answer.status, case["says"] in answer.error) == (400, True), answer
    assert both.arena.backend.count() == before
    assert both.gateway([], bodies.GOOD).status == 200
    both.passed = (both.passed or 0) + 1


@pytest.mark.parametrize("dimensions", bodies.DIMENSIONS)
def test_a_shape(both: Both, dimensions: str) -> None:
    both.agree([], bodies.replaced(SHAPE, b'"shape": ' + dimensions.encode()))


@pytest.mark.parametrize("name", bodies.NAMES, ids=range(len(bodies.NAMES)))
def test_a_name(both: Both, name: bytes) -> None:
    both.agree([], bodies.replaced(b'"inputs"', name))


@pytest.mark.parametrize("value", bodies.VALUES, ids=range(len(bodies.VALUES)))
def test_a_number(both: Both, value: str) -> None:
    both.agree([], bodies.replaced(DATA, f'"data": [{value}, 2]'.encode()))
    both.agree([], bodies.replaced(SHAPE, f'"shape": [1, 2], "parameters": {{"p": {value}}}'.encode()))


@pytest.mark.parametrize("text", bodies.TEXTS, ids=range(len(bodies.TEXTS)))
def test_a_text(both: Both, text: bytes) -> None:
    both.agree([], bodies.replaced(TEXT_DATA, b"[" + text + b"]"))
    both.agree([], bodies.replaced(b"{", b'{"id": ' + text + b", "))


@pytest.mark.parametrize("wrapped", bodies.WRAPPED)
def test_an_encoding(both: Both, wrapped: str) -> None:
    for body in (bodies.GOOD, bodies.pointing()):
        for headers in ([], [("Content-Type", "application/octet-stream")]):
            both.agree(headers, bodies.WRAPPED[wrapped](body))


@pytest.mark.parametrize("root", bodies.ROOTS, ids=range(len(bodies.ROOTS)))
def test_a_body_that_is_no_request(both: Both, root: bytes) -> None:
    both.agree([], root)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-16",
        "text/plain",
        "",
        "x",
        "multipart/form-data",
        "application/octet-stream",
        "Application/Octet-Stream",
        "application/octet-stream; a=b",
        "application/octet-streamx",
        ",application/octet-stream",
        "application/json, application/octet-stream",
        "application/octet-stream, application/json",
        "application/x-www-form-urlencoded",
        "application/grpc-web",
        '"application/octet-stream"',
    ],
)
@pytest.mark.parametrize("number", range(4))
def test_a_content_type(both: Both, kind: str, number: int) -> None:
    body = (bodies.GOOD, bodies.pointing(), b"\0" * 8, b" " * 70 + bodies.pointing())[number]
    both.agree([("Content-Type", kind)], body)
    both.agree([("Content-Type", "application/json"), ("Content-Type", kind)], body)


@pytest.mark.parametrize("depth", [1, 61, 62, 63, 64, 65, 66, 100, 1000, 20_000])
def test_a_nesting(both: Both, depth: int) -> None:
    """Where Triton reads it at all: 64 levels pass, and no more. The body itself is the first."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")):
        levels = 1 + depth * (opening.count(b"[") + opening.count(b"{"))
        assert both.agree([], bodies.nested(depth, opening, closing)) is (levels <= 64)
        assert not (both.agree([], bodies.nested(depth, opening, b"")) and levels > 64)
    hidden = bodies.replaced(TEXT_DATA, b'["' + b"[{" * depth + b'"]')
    assert both.agree([], hidden), "in a text it is no nesting"


NAMES_OF_PARAMETERS = st.sampled_from(
    [
        "shared_memory_region",
        "shared_memory_byte_size",
        "shared_memory_offset",
        "shared_memory",
        "Shared_memory_region",
        "shared_memory_region ",
        "binary_data_size",
        "x",
    ]
)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(
    names=st.lists(NAMES_OF_PARAMETERS, min_size=1, max_size=4),
    escaped=st.integers(0, 2**24),
    blanks=st.booleans(),
    wrapped=st.sampled_from([None, *bodies.WRAPPED]),
)
def test_a_parameter_that_points_into_shared_memory(
    both: Both, names: list[str], escaped: int, blanks: bool, wrapped: str | None
) -> None:
    """Any of its letters may be spelled as an escape, and it may be there more than once."""

    def spelled(name: str) -> str:
        return "".join(f"\\u{ord(c):04x}" if escaped >> i & 1 else c for i, c in enumerate(name))

    members = [f'"{spelled(name)}"{" " * blanks}:{8 if "size" in name else TEXT}' for name in names]
    body = bodies.pointing(",".join(members).encode())
    body = bodies.WRAPPED[wrapped](body) if wrapped else body
    passed = both.agree([], body)
    assert not (passed and READ_SHARED_MEMORY in both.triton([], body).error)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(dimensions=st.lists(st.integers(0, 40), max_size=4), batch=st.integers(0, 9))
def test_a_shape_is_refused_only_where_no_body_could_hold_it(both: Both, dimensions: list[int], batch: int) -> None:
    """Small enough to be sent to Triton itself."""
    body = bodies.numbers(shape=[batch, *dimensions])
    elements = batch
    for dimension in dimensions:
        elements *= dimension
    assert both.agree([], body) is (elements <= len(body))


def test_data_in_base64_is_no_nesting_and_no_name(both: Both) -> None:
    large = base64.b64encode(bytes(range(256)) * 4000).decode()
    assert both.agree([], bodies.text(data=[large]))
    assert both.agree([], bodies.text(data=[":" * 50_000 + "shape" + "[" * 50_000]))
