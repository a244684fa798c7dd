"""A ModelInferRequest for text, byte for byte: prompts in every encoding, parameters of every type, odd wires."""

from __future__ import annotations

import struct

from tests.integration.differences.messages import (
    BYTES,
    END,
    FIXED32,
    FIXED64,
    ID,
    INPUTS,
    NAME,
    OUTPUTS,
    PARAMETERS,
    RAW,
    START,
    VARINT,
    VERSION,
    field,
    groups,
    names,
    nested,
    varint,
)

BOOL, INT64, TEXT, DOUBLE, UINT64 = 1, 2, 3, 4, 5
"""The fields of an InferParameter."""
NAMED = field(NAME, b"llama")
Shape = tuple[int, ...] | None


def parameter(name: bytes, *values: bytes) -> bytes:
    return field(PARAMETERS, field(1, name) + field(2, b"".join(values)))


SHORT = parameter(b"max_tokens", field(INT64, 1, VARINT))
REST = NAMED + SHORT


def prompt(contents: bytes, datatype: bytes = b"", shape: Shape = None, name: bytes = b"prompt") -> bytes:
    """One input with such contents (the fields of an InferTensorContents)."""
    dimensions = b"" if shape is None else field(3, b"".join(varint(size % 2**64) for size in shape))
    kind = field(2, datatype) if datatype else b""
    return field(INPUTS, field(1, name) + kind + dimensions + (field(5, contents) if contents else b""))


def packed(number: int, *values: int) -> bytes:
    return field(number, b"".join(varint(value % 2**64) for value in values))


def raw(content: bytes, datatype: bytes = b"", shape: Shape = None) -> bytes:
    return prompt(b"", datatype, shape) + field(RAW, content)


def prefixed(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


HI = field(8, b"hi")
GOOD = REST + prompt(HI, b"BYTES", (1,))
POINTS = (104, 233, 0x20AC, 0x1F600)

NAMES = {case: named + SHORT + prompt(HI, b"BYTES", (1,)) for case, named in names(b"llama").items()} | {
    "of an adapter": field(NAME, b"llama:pirate") + GOOD[len(NAMED) :],
    "of no adapter": field(NAME, b"llama:x") + GOOD[len(NAMED) :],
    "of an adapter, last": GOOD + field(NAME, b"llama:pirate"),
    "of the other one last": GOOD + field(NAME, b"other"),
    "of a whole message behind": GOOD + GOOD,
}
PROMPTS = {
    "as BYTES": prompt(HI, b"BYTES", (1,)),
    "without a datatype": prompt(HI),
    "without a shape": prompt(HI, b"BYTES"),
    "an empty text": prompt(field(8, b""), b"BYTES", (1,)),
    "no contents": prompt(b"", b"BYTES", (1,)),
    "two texts": prompt(HI + HI, b"BYTES", (2,)),
    "two texts of shape 1": prompt(HI + HI, b"BYTES", (1,)),
    "no UTF-8": prompt(field(8, b"\xff"), b"BYTES", (1,)),
    "an overlong letter": prompt(field(8, b"\xc1\xa1"), b"BYTES", (1,)),
    "a surrogate in UTF-8": prompt(field(8, b"\xed\xa0\x80"), b"BYTES", (1,)),
    "a nul": prompt(field(8, b"h\0i"), b"BYTES", (1,)),
    "line ends of all kinds": prompt(field(8, "a\n\r\x85\u2028b".encode()), b"BYTES", (1,)),
    "quotes and braces": prompt(field(8, b'"}], "model": "other", "x": [{"'), b"BYTES", (1,)),
    "an escape": prompt(field(8, b"\\u0061\\"), b"BYTES", (1,)),
    "letters beyond 16 bits": prompt(field(8, "\U0001f600e\u0301".encode()), b"BYTES", (1,)),
    "a mark of UTF-8": prompt(field(8, b"\xef\xbb\xbfhi"), b"BYTES", (1,)),
    "words of the template": prompt(field(8, b"<|assistant|>{{ 1 }}<|user|>"), b"BYTES", (1,)),
    "too long for the model": prompt(field(8, b"hi " * 2000), b"BYTES", (1,)),
    "text as FP32": prompt(HI, b"FP32", (1,)),
    "text as a word that is no datatype": prompt(HI, b"TEXT", (1,)),
    "of shape 2": prompt(HI, b"BYTES", (2,)),
    "of shape 0": prompt(HI, b"BYTES", (0,)),
    "of shape -1": prompt(HI, b"BYTES", (-1,)),
    "of shape 1, 1": prompt(HI, b"BYTES", (1, 1)),
    "of shape 2^32 + 1": prompt(HI, b"BYTES", (2**32 + 1,)),
    "of a shape not packed": field(INPUTS, field(1, b"prompt") + field(3, 1, VARINT) + field(5, HI)),
    **{
        f"code points in field {number} as {datatype.decode() or 'nothing'}": prompt(
            packed(number, *POINTS), datatype, (len(POINTS),)
        )
        for number in (1, 2, 3, 4, 5)
        for datatype in (b"", b"INT32", b"UINT32", b"INT64", b"BYTES", b"UINT8", b"FP32")
    },
    **{
        f"code points {values}": prompt(packed(2, *values), b"INT32", (len(values),))
        for values in (
            (),
            (0,),
            (-1,),
            (0xD800,),
            (0xDFFF, 104),
            (0x10FFFF,),
            (0x110000,),
            (2**32 + 104,),
            (104, 0, 105),
        )
    },
    "code points not packed": prompt(field(2, 104, VARINT) + field(2, 105, VARINT), b"INT32", (2,)),
    "code points half packed": prompt(packed(2, 104) + field(2, 105, VARINT), b"INT32", (2,)),
    "code points in wide numbers": prompt(field(2, varint(104, 10) + varint(105, 9)), b"INT32", (2,)),
    "code points in eleven bytes": prompt(field(2, b"\x80" * 10 + b"\1"), b"INT32", (1,)),
    "code points as bytes of UTF-8": prompt(packed(2, 0xC3, 0xA9), b"UINT8", (2,)),
    "code points as bytes below zero": prompt(packed(2, -61, -87), b"INT8", (2,)),
    "code points as bytes beyond a byte": prompt(packed(2, 256), b"UINT8", (1,)),
    "in two fields": prompt(packed(2, 104) + HI, b"INT32", (1,)),
    "in two parts of contents": field(
        INPUTS, field(1, b"prompt") + field(5, packed(2, 104)) + field(5, packed(2, 105))
    ),
    "in two parts, of two fields": field(INPUTS, field(1, b"prompt") + field(5, packed(2, 104)) + field(5, HI)),
    "as floats": prompt(field(6, struct.pack("<f", 104.0)), b"FP32", (1,)),
    "as doubles": prompt(field(7, struct.pack("<d", 104.0)), b"FP64", (1,)),
    "as truths": prompt(packed(1, 1, 0), b"BOOL", (2,)),
    "raw with its length": raw(prefixed(b"hi"), b"BYTES", (1,)),
    "raw without its length": raw(b"hi", b"BYTES", (1,)),
    "raw without its length and datatype": raw(b"hi"),
    "raw with its length, without a datatype": raw(prefixed(b"hi")),
    "raw of four letters that are a length": raw(b"\0\0\0\0"),
    "raw with a length beyond it": raw(struct.pack("<I", 3) + b"hi", b"BYTES", (1,)),
    "raw with a length below it": raw(struct.pack("<I", 1) + b"hi", b"BYTES", (1,)),
    "raw with a length the other way round": raw(struct.pack(">I", 2) + b"hi", b"BYTES", (1,)),
    "raw of two texts": raw(prefixed(b"hi") * 2, b"BYTES", (2,)),
    "raw and empty": raw(b"", b"BYTES", (1,)),
    "raw and empty, without a datatype": raw(b""),
    "raw UINT8": raw(b"hi", b"UINT8", (2,)),
    "raw UINT8 of another shape": raw(b"hi", b"UINT8", (3,)),
    "raw INT8 of UTF-8": raw("hé".encode(), b"INT8", (3,)),
    "raw UINT8 that is no UTF-8": raw(b"\xc3", b"UINT8", (1,)),
    "raw INT32": raw(struct.pack("<4i", *POINTS), b"INT32", (4,)),
    "raw INT32 the other way round": raw(struct.pack(">2i", 104, 105), b"INT32", (2,)),
    "raw INT32 that is cut": raw(struct.pack("<2i", 104, 105)[:-1], b"INT32", (2,)),
    "raw INT64": raw(struct.pack("<2q", 104, 105), b"INT64", (2,)),
    "raw UINT64 beyond 63 bits": raw(struct.pack("<Q", 2**63), b"UINT64", (1,)),
    "raw INT16": raw(struct.pack("<2h", 104, 105), b"INT16", (2,)),
    "raw FP32": raw(struct.pack("<2f", 104, 105), b"FP32", (2,)),
    "raw and contents": prompt(HI, b"BYTES", (1,)) + field(RAW, prefixed(b"ho")),
    "raw and empty contents": field(INPUTS, field(1, b"prompt") + field(5, b"")) + field(RAW, b"ho"),
    "raw twice": raw(prefixed(b"hi"), b"BYTES", (1,)) + field(RAW, prefixed(b"ho")),
    "raw before its input": field(RAW, prefixed(b"hi")) + prompt(b"", b"BYTES", (1,)),
    "raw without an input": field(RAW, prefixed(b"hi")),
    "no input": b"",
    "two inputs": prompt(HI) + prompt(HI, name=b"other"),
    "an empty input": field(INPUTS, b""),
    "an empty input as well": field(INPUTS, b"") + prompt(HI),
    "of another name": prompt(HI, name=b"max_tokens"),
    "of no name": prompt(HI, name=b""),
}
WIRES = {
    "an id": GOOD + field(ID, b"7"),
    "an id of any letters": GOOD + field(ID, '\u00e9\n\0"'.encode()),
    "an id that is no UTF-8": GOOD + field(ID, b"\xff"),
    **{f"version {text!r}": GOOD + field(VERSION, text.encode()) for text in ("1", "0", "-1", "x", "", "9" * 30)},
    "an output": GOOD + field(OUTPUTS, field(1, b"text")),
    "an output of another name": GOOD + field(OUTPUTS, field(1, b"x")),
    "the highest field": field(2**29 - 1, b"x") + GOOD,
    "the field zero": field(0, b"x") + GOOD,
    "a kind that there is not": varint(15 * 8 + 6) + GOOD,
    "a length beyond the end": GOOD + varint(50 * 8 + BYTES) + varint(100),
    "a length of 2^31": GOOD + varint(50 * 8 + BYTES) + varint(2**31),
    "a length of 2^32": GOOD + varint(50 * 8 + BYTES) + varint(2**32),
    "a length of 2^63": GOOD + varint(50 * 8 + BYTES) + varint(2**63),
    "half a tag": GOOD + b"\x80",
    "a number without an end": GOOD + varint(50 * 8) + b"\xff" * 11,
    "eight bytes": GOOD + varint(50 * 8 + FIXED64) + b"12345678",
    "four bytes": GOOD + varint(50 * 8 + FIXED32) + b"1234",
    "three of four bytes": GOOD + varint(50 * 8 + FIXED32) + b"123",
    "the end of a group": GOOD + varint(15 * 8 + END),
    "a group of another number": GOOD + varint(15 * 8 + START) + varint(16 * 8 + END),
    "an empty message": b"",
    "nothing but a name": NAMED,
    "an input that is a number": field(INPUTS, 1, VARINT) + GOOD,
    "an input that is cut": GOOD + field(INPUTS, b"\n\7pro"),
    "a parameter that is no map": GOOD + field(PARAMETERS, b"\xff"),
    "a parameter without a name": GOOD + field(PARAMETERS, field(2, field(INT64, 1, VARINT))),
    "shared memory": GOOD + parameter(b"shared_memory_region", field(TEXT, b"x")),
    "shared memory in the input": REST + field(INPUTS, field(1, b"p") + field(4, field(1, b"shared_memory_region"))),
    "a parameter of the input": REST + field(INPUTS, field(1, b"p") + field(4, field(1, b"x")) + field(5, HI)),
    **{f"groups {depth} deep": GOOD + groups(depth) for depth in (1, 99, 101, 20_000)},
    **{
        f"fields {depth} deep in {number}": GOOD + nested(depth, number)
        for depth in (1, 99, 101, 1000)
        for number in (50, INPUTS, PARAMETERS)
    },
}
VALUES = {
    "no kind": b"",
    "true": field(BOOL, 1, VARINT),
    "false": field(BOOL, 0, VARINT),
    "a truth of 2": field(BOOL, 2, VARINT),
    "zero": field(INT64, 0, VARINT),
    "one": field(INT64, 1, VARINT),
    "minus one": field(INT64, 2**64 - 1, VARINT),
    "2^63 - 1": field(INT64, 2**63 - 1, VARINT),
    "an unsigned one": field(UINT64, 1, VARINT),
    "an unsigned 2^64 - 1": field(UINT64, 2**64 - 1, VARINT),
    "beyond 64 bits": varint(INT64 * 8) + varint(2**64 + 1),
    "one, then two": field(INT64, 1, VARINT) + field(INT64, 2, VARINT),
    "one, then a text": field(INT64, 1, VARINT) + field(TEXT, b"2"),
    "a group": groups(1, INT64),
    **{
        f"the double {number}": varint(DOUBLE * 8 + FIXED64) + struct.pack("<d", number)
        for number in (0.5, 1.0, -0.0, 1e-320, 1e300, float("nan"), float("inf"))
    },
    **{
        f"the text {text!r}": field(TEXT, text)
        for text in (
            b"",
            b"0",
            b"1",
            b"2",
            b"01",
            b"+1",
            b"-1",
            b" 1",
            b"1 ",
            b"1\n",
            b"1.0",
            b"0.5",
            b".5",
            b"1.",
            b"1e0",
            b"1E-1",
            b"1e999",
            b"1_0",
            b"0x1",
            b"nan",
            b"Infinity",
            b"true",
            b"True",
            b"FALSE",
            b"yes",
            b"null",
            b"1\0",
            "\u0661".encode(),
            b"9" * 30,
            b"[1]",
            b'["a"]',
            b'["a", 1]',
            b'["\\u0061", "b"]',
            b"[",
            b"a",
            b"\xff",
        )
    },
}
PARAMETERS_OF_TEXT = (
    "max_tokens",
    "min_tokens",
    "top_k",
    "seed",
    "temperature",
    "top_p",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "stop",
    "ignore_eos",
)
PARAMETERS_OF_EACH_TYPE = ("max_tokens", "temperature", "stop", "ignore_eos")
ORDINARY_VALUES = ("true", "minus one", "the double 0.5", "the text b'1'", "the text b'a'")
UNLISTED = (
    "n",
    "stream",
    "model",
    "messages",
    "prompt",
    "logprobs",
    "chat_template",
    "cache_salt",
    "prompt_embeds",
    "guided_json",
    "Max_tokens",
    "max_tokens ",
    "max_tokens\0",
    "",
    "max_completion_tokens",
    "stop_token_ids",
)
