"""A ModelInferRequest written byte for byte: fields out of order, twice, of other kinds, nested, cut."""

from __future__ import annotations

VARINT, FIXED64, BYTES, START, END, FIXED32 = 0, 1, 2, 3, 4, 5
NAME, VERSION, ID, PARAMETERS, INPUTS, OUTPUTS, RAW = 1, 2, 3, 4, 5, 6, 7


def varint(number: int, length: int = 1) -> bytes:
    """With as many bytes as needed, or with more."""
    out = b""
    while number > 127 or length > 1:
        out += bytes([number % 128 + 128])
        number, length = number >> 7, length - 1
    return out + bytes([number])


def field(number: int, content: bytes | int, kind: int = BYTES, wide: int = 1) -> bytes:
    tag = varint(number * 8 + kind, wide)
    return tag + varint(content) if isinstance(content, int) else tag + varint(len(content), wide) + content


def tensor(name: str, datatype: str, *shape: int, packed: bool = True, contents: bytes = b"") -> bytes:
    dims = [number % 2**64 for number in shape]
    dimensions = field(3, b"".join(map(varint, dims))) if packed else b"".join(field(3, each, VARINT) for each in dims)
    return field(1, name.encode()) + field(2, datatype.encode()) + dimensions + contents


FLOATS = field(5, field(6, bytes.fromhex("0000803f00000040")))
LETTER = field(5, field(8, b"a"))
TEXT = field(INPUTS, tensor("text", "BYTES", 1, 1, contents=LETTER))
ROWS = field(NAME, b"rows")


def numbers(*shape: int, packed: bool = True, contents: bytes = FLOATS, more: bytes = b"") -> bytes:
    return field(INPUTS, tensor("numbers", "FP32", *shape, packed=packed, contents=contents) + more)


GOOD = ROWS + numbers(1, 2) + TEXT
BY_RAW = (
    ROWS
    + numbers(1, 2, contents=b"")
    + field(INPUTS, tensor("text", "BYTES", 1, 1))
    + field(RAW, bytes.fromhex("0000803f00000040"))
    + field(RAW, b"\1\0\0\0a")
)


def parameter(name: bytes, value: bytes = field(3, b"x"), number: int = PARAMETERS) -> bytes:
    return field(number, field(1, name) + field(2, value))


def groups(depth: int, number: int = 15) -> bytes:
    return varint(number * 8 + START) * depth + varint(number * 8 + END) * depth


def nested(depth: int, number: int = 50) -> bytes:
    out = b""
    for _ in range(depth):
        out = field(number, out)
    return out


def names(name: bytes) -> dict[str, bytes]:
    """Spellings of a field 1 that should name a model."""
    named = field(1, name)
    return {
        "once": named,
        "twice": named + named,
        "another first": field(1, b"other") + named,
        "another last": named + field(1, b"other"),
        "none": b"",
        "an empty one last": named + field(1, b""),
        "an empty one first": field(1, b"") + named,
        "in capitals": field(1, name.upper()),
        "with a blank": field(1, name + b" "),
        "with a nul": field(1, name + b"\0"),
        "no UTF-8": field(1, b"\xff"),
        "no UTF-8 first": field(1, b"\xff") + named,
        "a number": field(1, 1, VARINT),
        "a number as well": named + field(1, 1, VARINT),
        "eight bytes": varint(8 + FIXED64) + (name * 8)[:8],
        "eight bytes as well": named + varint(8 + FIXED64) + (name * 8)[:8],
        "in a group": groups(1, 1) + named,
        "a wide tag": field(1, name, wide=2),
        "a tag of five bytes": field(1, name, wide=5),
        "a tag of five bytes last": named + field(1, b"other", wide=5),
        "a tag of ten bytes last": named + field(1, b"other", wide=10),
        "a tag of 33 bits last": named + varint(2**32 + 8 + BYTES) + b"\5other",
        "behind an unknown field": field(50, b"x") + named,
        "before an unknown field": named + field(50, b"x"),
        "before half a tag": named + b"\x80",
        "a length beyond it": varint(8 + BYTES) + bytes([len(name) + 3]) + name,
        "behind groups": groups(90) + named,
        "behind many groups": groups(2000) + named,
        "long": field(1, name[:1] * 3000),
    }


SHARED = b"shared_memory_region"
CASES: dict[str, bytes] = {
    "as it should be": GOOD,
    "with raw contents": BY_RAW,
    "the name last": GOOD[len(ROWS) :] + ROWS,
    "the name twice": ROWS + GOOD,
    "another name first": field(NAME, b"other") + GOOD,
    "another name last": GOOD + field(NAME, b"other"),
    "an empty name last": GOOD + field(NAME, b""),
    "no name": GOOD[len(ROWS) :],
    "a name that is a number": field(NAME, 1, VARINT) + GOOD,
    "a name of eight bytes": varint(NAME * 8 + FIXED64) + b"rowsrows" + GOOD,
    "a name in a group": groups(1, NAME) + GOOD,
    "a name that is no UTF-8": field(NAME, b"\xff"),
    "a name with a nul": GOOD + field(NAME, b"rows\0"),
    "a name with a blank": GOOD + field(NAME, b"rows "),
    "a name in capitals": GOOD + field(NAME, b"ROWS"),
    "a name with a slash": GOOD + field(NAME, b"rows/1"),
    "a long name": GOOD + field(NAME, b"r" * 5000),
    "a tag of two bytes": field(NAME, b"rows", wide=2) + GOOD[len(ROWS) :],
    "a tag of five bytes": field(NAME, b"rows", wide=5) + GOOD[len(ROWS) :],
    "a tag of six bytes": field(NAME, b"rows", wide=6) + GOOD[len(ROWS) :],
    "a tag of ten bytes": field(NAME, b"rows", wide=10) + GOOD[len(ROWS) :],
    "a tag of 33 bits": varint(2**32 + NAME * 8 + BYTES) + b"\5other" + GOOD,
    "a tag of 35 bits": varint(2**34 + NAME * 8 + BYTES) + b"\5other" + GOOD,
    "the field zero": field(0, b"x") + GOOD,
    "the highest field": field(2**29 - 1, b"x") + GOOD,
    "a kind that there is not": varint(15 * 8 + 6) + GOOD,
    "a length beyond the end": GOOD + varint(50 * 8 + BYTES) + varint(100),
    "a length of 2^31": GOOD + varint(50 * 8 + BYTES) + varint(2**31),
    "a length of 2^32": GOOD + varint(50 * 8 + BYTES) + varint(2**32),
    "a length of 2^63": GOOD + varint(50 * 8 + BYTES) + varint(2**63),
    "a length without an end": GOOD + varint(50 * 8 + BYTES) + b"\xff" * 12,
    "half a tag": GOOD + b"\x80",
    "a number without an end": GOOD + varint(50 * 8) + b"\xff" * 11,
    "eleven bytes of a number": GOOD + varint(50 * 8) + b"\xff" * 10 + b"\1",
    "eight bytes that are not there": GOOD + varint(50 * 8 + FIXED64) + b"1234567",
    "eight bytes": GOOD + varint(50 * 8 + FIXED64) + b"12345678",
    "four bytes": GOOD + varint(50 * 8 + FIXED32) + b"1234",
    "the end of a group": GOOD + varint(15 * 8 + END),
    "a group": GOOD + groups(1),
    "a group of another number": GOOD + varint(15 * 8 + START) + varint(16 * 8 + END),
    "an empty message": b"",
    "nothing but a name": ROWS,
    "an input that is a number": field(INPUTS, 1, VARINT) + GOOD,
    "an input that is cut": GOOD + field(INPUTS, b"\n\5num"),
    "an empty input": GOOD + field(INPUTS, b""),
    "an input in an input": ROWS + numbers(1, 2, more=numbers(1, 2)) + TEXT,
    "an input twice": GOOD + TEXT,
    "its name twice": ROWS + numbers(1, 2, more=field(1, b"text")) + TEXT,
    "its datatype twice": ROWS + numbers(1, 2, more=field(2, b"FP64")) + TEXT,
    "contents twice": ROWS + numbers(1, 2, contents=FLOATS + FLOATS) + TEXT,
    "raw contents as well": GOOD + field(RAW, b"x"),
    "empty raw contents": GOOD + field(RAW, b""),
    "raw contents that are a number": GOOD + field(RAW, 1, VARINT),
    "one raw content too many": BY_RAW + field(RAW, b"x"),
    "an output": GOOD + field(OUTPUTS, field(1, b"sum")),
    "an output twice": GOOD + field(OUTPUTS, field(1, b"sum")) * 2,
    "an output that is not": GOOD + field(OUTPUTS, field(1, b"x")),
    "a parameter": GOOD + parameter(b"x"),
    "a parameter without a value": GOOD + parameter(b"x", b""),
    "a parameter of two kinds": GOOD + parameter(b"x", field(1, 1, VARINT) + field(3, b"y")),
    "a parameter that is no map": GOOD + field(PARAMETERS, b"\xff"),
    "a parameter of a reserved name": GOOD + parameter(b"triton_x"),
    "a shape not packed": ROWS + numbers(1, 2, packed=False) + TEXT,
    "a shape in two parts": ROWS + field(INPUTS, tensor("numbers", "FP32", 1) + field(3, 2, VARINT) + FLOATS) + TEXT,
    "a shape in wide numbers": ROWS
    + field(INPUTS, tensor("numbers", "FP32") + field(3, varint(1, 10) + varint(2, 9)) + FLOATS)
    + TEXT,
    "a shape that is cut": ROWS + field(INPUTS, tensor("numbers", "FP32") + field(3, b"\1\x82") + FLOATS) + TEXT,
    "a shape of eleven bytes": ROWS
    + field(INPUTS, tensor("numbers", "FP32") + field(3, b"\1" + b"\x80" * 10 + b"\1") + FLOATS)
    + TEXT,
    "a shape that is eight bytes": ROWS
    + field(INPUTS, tensor("numbers", "FP32") + varint(3 * 8 + FIXED64) + bytes(8) + FLOATS)
    + TEXT,
    **{
        f"{kind} {depth} deep": ROWS + make(depth) + GOOD[len(ROWS) :]
        for depth in (1, 50, 99, 100, 101, 1000, 20_000)
        for kind, make in (("groups", groups), ("groups of inputs", lambda depth: groups(depth, INPUTS)))
    },
    **{
        f"fields {depth} deep": GOOD + nested(depth, number)
        for depth in (1, 50, 99, 100, 101, 1000)
        for number in (50, INPUTS, PARAMETERS)
    },
    **{
        f"version {version!r}": GOOD + field(VERSION, version.encode())
        for version in (
            "1",
            "",
            "01",
            "+1",
            " 1",
            "1 ",
            "1e0",
            "1.5",
            "-1",
            "0",
            "0x1",
            "x",
            "9" * 30,
            "18446744073709551617",
        )
    },
    **{
        f"shared memory in {where}": body
        for where, body in {
            "the parameters": GOOD + parameter(SHARED),
            "an input": ROWS
            + numbers(
                1, 2, contents=b"", more=parameter(SHARED) + parameter(b"shared_memory_byte_size", field(2, 8, VARINT))
            )
            + TEXT,
            "an output": GOOD + field(OUTPUTS, field(1, b"sum") + parameter(SHARED, number=2)),
            "a name given twice": GOOD + field(PARAMETERS, field(1, b"x") + field(1, SHARED)),
            "a name that counts no more": GOOD + field(PARAMETERS, field(1, SHARED) + field(1, b"x")),
            "a value": GOOD + parameter(b"x", field(3, SHARED)),
            "the id": GOOD + field(ID, SHARED),
            "a field that there is not": GOOD + field(50, SHARED),
            "the text": ROWS
            + numbers(1, 2)
            + field(INPUTS, tensor("text", "BYTES", 1, 1, contents=field(5, field(8, SHARED)))),
            "a wide tag": GOOD + field(PARAMETERS, field(1, SHARED, wide=5) + field(2, field(3, b"x"))),
            "a tag that is too wide": GOOD + field(PARAMETERS, field(1, SHARED, wide=6) + field(2, field(3, b"x"))),
            "a group": GOOD + groups(1) + parameter(SHARED),
            "two parts of an input": ROWS
            + numbers(
                1,
                2,
                contents=b"",
                more=parameter(SHARED)
                + parameter(b"shared_memory_byte_size", field(2, 8, VARINT))
                + parameter(b"shared_memory_offset"),
            )
            + TEXT,
        }.items()
    },
}
SHAPES = (
    (),
    (0, 2),
    (2,),
    (1,),
    (1, 2, 1),
    (2, 1),
    (5, 2),
    (-1, 2),
    (1, -2),
    (2**31, 0),
    (2**32 + 1, 2),
    (2**33, 1),
    (2**40, 2),
    (2**62, 4),
    (2**63 - 1, 2),
    (2**32, 2**32),
    (1,) * 64,
    (1,) * 65,
    (1,) * 5000,
    (10**9, 2),
    (300, 2),
    (40, 2),
)
