"""Every spelling of a length is read by the gateway as Triton reads it, or is refused."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.integration.differences.both import INFER, LENGTH, READ_SHARED_MEMORY, Both
from tests.integration.fuzz.arena import EXAMPLES, KEY
from tests.integration.gateway.raw import CUT, http2

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
PLAIN = json.dumps(
    {
        "inputs": [
            {"name": "numbers", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": ["a"]},
        ]
    }
).encode()
RAW = bytes.fromhex("0000803f00000040")
SHARED = b"""{"inputs":[{"name":"numbers","shape":[1,2],"datatype":"FP32",
"parameters":{"shared_memory_region":"x","shared_memory_byte_size":8}}]}"""
DEEP = b'{"x":' + b"[" * 70 + b"]" * 70 + b"}"
SHARED, DEEP = SHARED.ljust(len(PLAIN)), DEEP.ljust(len(PLAIN))
"""All three have one length, so that one spelling means one thing in each."""
N = len(PLAIN)

BY_HAND = (
    "{n}",
    "0",
    "{n}e-9",
    "{n}e0",
    "{n}E0",
    "{n}e+0",
    "{n}e-0",
    "{n}.0",
    "{n}.",
    "{n}.9",
    ".{n}e3",
    "+{n}",
    "-{n}",
    "--{n}",
    "0{n}",
    "00000000000000000000{n}",
    "{x}",
    "{X}",
    "{o}",
    "{b}",
    "0x0",
    "-0",
    "+0",
    "00",
    "0.0",
    "0e5",
    "1e1",
    "1e2",
    "1E2",
    "nan",
    "NaN",
    "-nan",
    "inf",
    "Infinity",
    "-inf",
    "1e999",
    "1e-999",
    "",
    "{n},{n}",
    "{n},0",
    "0,{n}",
    "{n}, {n}",
    "{n};",
    "{n};q=1",
    "{n} bytes",
    "{n}b",
    "{n}L",
    "{n}u",
    "{n}_0",
    "1_0",
    "{n}'",
    "'{n}'",
    '"{n}"',
    "({n})",
    "{n}\t0",
    "{n} 0",
    "0 {n}",
    "{n}%",
    "%31",
    "\xb2",
    "\xa0{n}",
    "{n}\xa0",
    "\xbc",
    "{over}",
    "{under}",
    "{wrap32}",
    "{wrap64}",
    "{minus32}",
    "{wrap31}",
    "{minus31}",
    "9999999999",
    "99999999999999999999999999",
    "1" * 400,
    "0x1p4",
    "0x1p-1074",
    "{n}p0",
    "{n}f",
    "{n}d",
    "1/1",
    "{n}/1",
    "{n}-0",
    "{n}+0",
    "{n}*1",
    "$",
    "null",
    "true",
    "[{n}]",
    "{{}}",
    "~",
    "{n}#",
    "#{n}",
    "{n}\\",
    "\\{n}",
    "{n}:",
    "={n}",
    "{n}=",
    "0b1",
    "0o7",
    "1,000",
    "1.000",
    "1 000",
    "\u0661",
    "\uff11",
)


def spelled(pattern: str, n: int = N) -> str:
    """Characters above Latin-1 go as the bytes of UTF-8."""
    text = pattern.format(
        n=n,
        x=hex(n),
        X=f"0X{n:X}",
        o=f"0{n:o}",
        b=bin(n),
        over=n + 1,
        under=n - 1,
        wrap32=2**32 + n,
        wrap64=2**64 + n,
        minus32=n - 2**32,
        wrap31=2**31 + n,
        minus31=n - 2**31,
    )
    return text.encode().decode("latin-1") if any(ord(c) > 255 for c in text) else text


def check(both: Both, values: list[str]) -> bool:
    """Whether the spelling passes; then Triton's reading of it is the gateway's."""
    headers = [(LENGTH, value) for value in values]
    passed = both.agree(headers, PLAIN + RAW)
    read = READ_SHARED_MEMORY in both.triton(headers, SHARED).error
    for body in (SHARED, DEEP):
        assert not (both.agree(headers, body) and read), (values, body[:20])
    return passed


@pytest.mark.parametrize("pattern", BY_HAND)
def test_a_spelling_of_the_json_length(both: Both, pattern: str) -> None:
    value = spelled(pattern)
    if check(both, [value]):
        assert re.fullmatch("0|[1-9][0-9]{0,14}", value.strip(" \t")), value
    else:
        assert value not in {"0", str(N), str(N - 1)}


@pytest.mark.parametrize("values", [[str(N)] * 2, [str(N), "0"], ["0", str(N)], ["", str(N)], [str(N), ""], ["x", "0"]])
def test_a_length_that_is_there_twice_is_refused(both: Both, values: list[str]) -> None:
    assert not check(both, values)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(value=st.text("0123456789+-.eExXnaifpub_,; \t'\"", max_size=24).map(str.strip))
@example(value=f"{N}e-9")
def test_any_text_for_a_length(both: Both, value: str) -> None:
    if check(both, [value]):
        assert value.isdecimal()


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(
    number=st.integers(0, N + 9),
    before=st.sampled_from(["", "+", "0", "-", "0x"]),
    after=st.sampled_from(["", "e0", "e-1", "e-9", ".0", ".5", "x", ",0"]),
)
def test_any_number_for_a_length(both: Both, number: int, before: str, after: str) -> None:
    assert check(both, [f"{before}{number}{after}"]) is (not before and not after and number <= N + len(RAW))


def test_a_length_over_http2(both: Both) -> None:
    """There no codec takes blanks off a value, and the rest of the way is HTTP/1.1. All at once: some linger."""
    patterns = [*BY_HAND, " {n}", "{n} ", "\t{n}", "{n}\t", "{n}\x0b", "\x0c{n}", "{n}\x00"]

    def status_of(sent: tuple[str, bytes]) -> int:
        headers = [("x-api-key", KEY), (LENGTH.lower(), spelled(sent[0]))]
        return http2(both.arena.port, "POST", INFER, headers, sent[1])

    sent = [(pattern, body) for pattern in patterns for body in (SHARED, DEEP)]
    with ThreadPoolExecutor(32) as pool:
        statuses = dict(zip(sent, pool.map(status_of, sent), strict=True))
    assert set(statuses.values()) <= {CUT, 400}, statuses
    both.passed = 2  # only the length 0 passes, with each of the bodies; the others never reach Triton
