"""Every spelling of an OpenAI body is read by the gateway as Python (which is vLLM) reads it, or is refused. Those of
single members are in vllm/test_openai.py, with vLLM itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.differences import spellings
from tests.integration.differences.both import REFUSALS, Both
from tests.integration.differences.spellings import CLOSED, DATA, JSON, MEDIA, with_member
from tests.integration.fuzz.arena import EXAMPLES

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
CHAT = "/v1/chat/completions"


def every(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each value with the name under which it stands, those in lists too."""
    yield name, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from every(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner, name)


def check(both: Both, body: bytes, headers: list[tuple[str, str]] = JSON) -> bool:
    """Whether the body passes. What passes is, to Python, what the gateway took it for."""
    before = both.arena.backend.count()
    answer = both.gateway(headers, body, CHAT)
    seen = [
        call["body"].encode("latin-1") for call in both.arena.backend.seen(before) if call["call"] == f"POST {CHAT}"
    ]
    if not seen:
        assert answer.status in REFUSALS, (body[:200], answer)
        assert answer.error, answer
        return False
    try:
        read = json.loads(body)
    except ValueError:
        assert answer.status == 400
        return True
    assert isinstance(read, dict), body[:200]
    assert str(read.get("model", "llama")).partition(":")[0] == "llama", body[:200]
    assert read.get("stream") in (True, False, None)
    assert all(
        type(read.get(name, 1)) in (int, type(None)) and (read.get(name) or 0) <= 16 for name in ("n", "best_of")
    )
    variables = read.get("chat_template_kwargs") or {}
    assert all(value is None or type(value) in (bool, int, float, str) for value in variables.values()), body[:200]
    assert not {"chat_template", "tokenize", "tools", "tokenizer_kwargs"} & set(variables), body[:200]
    judged = {name: None if name in DATA else value for name, value in read.items()}
    for name, value in every(judged):
        assert name not in CLOSED, body[:200]
        assert not isinstance(value, float) or math.isfinite(value), body[:200]
        assert not isinstance(value, int) or abs(value) < 10**32, body[:200]
        if name in MEDIA and isinstance(value, str):
            assert value.startswith("data:"), body[:200]
    passed = json.loads(seen[0])
    options = passed.pop("stream_options", None)
    stream_options = read.pop("stream_options", None)
    assert passed == read, body[:200]
    assert options == stream_options or (read["stream"] and options["include_usage"] is True)
    return True


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "9" * 33, "0." + "1" * 40])
def test_a_number_that_no_limit_bounds_is_refused(both: Both, value: str) -> None:
    """Python's parser takes them, and a sampler that is told NaN or infinity is a matter of luck."""
    for member in ('"temperature": {}', '"x": [{}]', '"x": [1, {}, 2]', '"x": {{"y": {}}}', '"x": [[1], [{}]]'):
        assert not check(both, with_member(member.format(value).encode()))


@pytest.mark.parametrize("url", spellings.URLS)
@pytest.mark.parametrize("kind", MEDIA)
def test_where_media_come_from(both: Both, kind: str, url: str) -> None:
    check(both, with_member(f'"x": [{{"type": "{kind}", "{kind}": {{"url": {url}}}}}]'.encode()))
    check(both, with_member(f'"x": {{"{kind}": {url.split("}")[0]}}}'.encode()))


@settings(max_examples=2 * EXAMPLES, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(CLOSED),
    escaped=st.integers(0, 2**24),
    capitals=st.booleans(),
    upper=st.booleans(),
    before=st.sampled_from(
        ['"x": ', '"x": [', '"x": [1, 2.5, ', '"x": {"y": ', '"x": "\\\\", "y": ', '"x": "\\"", "y": ']
    ),
)
def test_a_field_that_is_closed(both: Both, name: str, escaped: int, capitals: bool, upper: bool, before: str) -> None:
    pattern = "\\u{:04X}" if capitals else "\\u{:04x}"
    spelled = "".join(pattern.format(ord(c)) if escaped >> i & 1 else c for i, c in enumerate(name))
    after = {"[": "]", "{": "}"}
    opened = [after[c] for c in before if c in after]
    member = (
        before + '{"' + (spelled.upper() if upper and not escaped else spelled) + '": 1}' + "".join(reversed(opened))
    )
    check(both, with_member(member.encode()))


VALUE = st.recursive(
    st.sampled_from(["1", "-2.5", "1e5", "NaN", "1e999", "true", "null", '"a"', '"\\"', '"\\\\"', "'a'", "01", "tru"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.dictionaries(
            st.sampled_from(['"a"', '"cache_salt"', '"url"', '"image_url"', '"model"', '"\\u0061"', "a", '"n"']),
            inner,
            max_size=3,
        ).map(lambda items: "{" + ", ".join(map(": ".join, items.items())) + "}")
    ),
    max_leaves=8,
)


@settings(max_examples=3 * EXAMPLES, deadline=None, derandomize=True)
@given(member=st.tuples(st.sampled_from(["x", "n", "stream", "model", "stream_options", "image_url", "tools"]), VALUE))
def test_any_member(both: Both, member: tuple[str, str]) -> None:
    check(both, with_member(f'"{member[0]}": {member[1]}'.encode()))
