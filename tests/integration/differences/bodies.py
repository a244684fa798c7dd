"""Spellings of one V2 request in JSON: what its names, numbers, texts, encodings and nestings may look like."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

NUMBERS: dict[str, Any] = {"name": "numbers", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
TEXT: dict[str, Any] = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}

TEXT_JSON = json.dumps(TEXT).encode()


def request(**more: Any) -> bytes:
    return json.dumps({"inputs": [NUMBERS, TEXT], **more}).encode()


def numbers(**changes: Any) -> bytes:
    return json.dumps({"inputs": [{**NUMBERS, **changes}, TEXT]}).encode()


def text(**changes: Any) -> bytes:
    return json.dumps({"inputs": [NUMBERS, {**TEXT, **changes}]}).encode()


GOOD = request()
SHARED = b'"shared_memory_region":"x","shared_memory_byte_size":8'
POINTING = b'{"inputs":[{"name":"numbers","datatype":"FP32","shape":[1,2],"parameters":{%s}},' + TEXT_JSON + b"]}"


def pointing(names: bytes = SHARED) -> bytes:
    return POINTING % names


def replaced(old: bytes, new: bytes) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]", inner: bytes = b"1") -> bytes:
    return b'{"x":' + opening * depth + inner + closing * depth + b"," + GOOD[1:]


DIMENSIONS = (
    "[]",
    "[0,2]",
    "[2]",
    "[1]",
    "[1,2,1]",
    "[2,1]",
    "[5,2]",
    "[ 1 , 2 ]",
    "[1\n,\t2]",
    "[1.0,2]",
    "[1e0,2]",
    "[1,2e0]",
    "[-1,2]",
    "[1,-2]",
    "[-0,2]",
    "[01,2]",
    "[+1,2]",
    "[0x1,2]",
    "[1,2,]",
    "[,1]",
    "[1 2]",
    '["1","2"]',
    "[null]",
    "[true,2]",
    "[[1,2]]",
    "[1,[2]]",
    "{}",
    '"1,2"',
    "12",
    "null",
    "[NaN]",
    "[Infinity,2]",
    "[1,2]]",
    "[1,2",
    "[" + "1," * 63 + "2]",
    "[" + "1," * 64 + "2]",
)
NAMES = (
    b'"inputs"',
    b'"\\u0069nputs"',
    b'"in\\u0070uts"',
    b'"Inputs"',
    b'"INPUTS"',
    b"'inputs'",
    b"inputs",
    b'"inputs\\u0000"',
    b'"inputs "',
    b'" inputs"',
    b'"in\\/puts"',
    b'"in\\puts"',
    b'"\xefinputs"',
    b'"in\x00puts"',
    b'"inputs":[],"inputs"',
    b'"inputs":1,"inputs"',
    b'"outputs":[],"inputs"',
    b'"":1,"inputs"',
    b'"a":{"inputs":[]},"inputs"',
    b'1:1,"inputs"',
)
VALUES = (
    "1",
    "1.0",
    "1e0",
    "1E+0",
    "1e-0",
    "10e-1",
    "0.1e1",
    "-0",
    "-0.0",
    "00",
    "01",
    "+1",
    ".5",
    "1.",
    "0x1",
    "1e",
    "1e400",
    "-1e400",
    "1e-400",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "Inf",
    "-Inf",
    "inf",
    "1e308",
    "9" * 400,
    "1" * 5000,
    "true",
    "null",
    '"1"',
    "[1]",
    "{}",
    "1_0",
    "1f",
    "1L",
    "1/1",
    "(1)",
    "--1",
    "1,",
    ",1",
    "",
    "1 1",
    "0b1",
    "1e1e1",
)
TEXTS = (
    b'"a"',
    b'"\\u0061"',
    b'"\\u00e9"',
    b'"\\ud83d\\ude00"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\xff\xfe"',
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    b'"\x01"',
    b'"\n"',
    b'"\\x41"',
    b'"\\a"',
    b'"\\/"',
    b'"\\""',
    b'"\\\\"',
    b'"\\u12"',
    b"'a'",
    b"a",
    b'"a',
    b'"shared_memory_region"',
    b'"\\"shared_memory_region\\":1"',
    b'"a" "b"',
    b'"shape"',
    b'"\\"shape\\":[1099511627776]"',
    b'"[[[["',
    b'"{{{{"',
    b'"]]}}"',
    b'"' + b"[" * 500 + b'"',
)
WRAPPED: dict[str, Callable[[bytes], bytes]] = {
    "a mark of UTF-8": lambda body: b"\xef\xbb\xbf" + body,
    "a third of the mark": lambda body: b"\xef" + body,
    "another third": lambda body: b"\xbb" + body,
    "the last third": lambda body: b"\xbf" + body,
    "the mark twice": lambda body: b"\xef\xbb\xbf" * 2 + body,
    "UTF-16": lambda body: body.decode("latin-1").encode("utf-16"),
    "UTF-16 without a mark": lambda body: body.decode("latin-1").encode("utf-16-le"),
    "UTF-16 with the higher byte first": lambda body: body.decode("latin-1").encode("utf-16-be"),
    "UTF-32": lambda body: body.decode("latin-1").encode("utf-32"),
    "UTF-7": lambda body: body.decode("latin-1").encode("utf-7"),
    "blanks before": lambda body: b" \t\r\n" * 100 + body,
    "blanks after": lambda body: body + b" \t\r\n" * 100,
    "a form feed before": lambda body: b"\x0c" + body,
    "a blank that does not break": lambda body: b"\xc2\xa0" + body,
    "a nul before": lambda body: b"\x00" + body,
    "a nul after": lambda body: body + b"\x00",
    "a nul and more after": lambda body: body + b"\x00" + body,
    "another value after": lambda body: body + b"1",
    "the same after": lambda body: body + body,
    "a bracket after": lambda body: body + b"]",
    "a list around": lambda body: b"[" + body + b"]",
    "a text around": lambda body: json.dumps(body.decode("latin-1")).encode(),
    "a comment before": lambda body: b"/* x */" + body,
    "a comment to the end of the line": lambda body: b"// x\n" + body,
    "a comment inside": lambda body: body[:1] + b"/* x */" + body[1:],
    "a hash before": lambda body: b"# x\n" + body,
    "a trailing comma": lambda body: body[:-1] + b",}",
    "no end": lambda body: body[:-1],
    "a name for it": lambda body: b"x=" + body,
    "a guard against scripts": lambda body: b")]}'\n" + body,
}
ROOTS = (
    b"",
    b" ",
    b"[]",
    b"{}",
    b'"x"',
    b"1",
    b"null",
    b"true",
    b"[",
    b"{",
    b"}",
    b'{"inputs":null}',
    b'{"inputs":{}}',
    b'{"inputs":[]}',
    b'{"inputs":[1]}',
    b'{"inputs":[[]]}',
    b'{"inputs":"x"}',
)
