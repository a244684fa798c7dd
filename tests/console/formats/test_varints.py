"""The numbers of protocol buffers."""

from __future__ import annotations

import pytest

from console.formats import varints


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (2**64 - 1, b"\xff" * 9 + b"\x01")],
)
def test_a_number_and_its_bytes(number: int, encoded: bytes) -> None:
    assert varints.encode(number) == encoded
    assert varints.decode(b"x" + encoded + b"y", 1, len(encoded) + 1) == (number, len(encoded) + 1)


def test_what_is_beyond_64_bits_is_cut_off() -> None:
    assert varints.decode(varints.encode(2**64 + 5), 0, 10) == (5, 10)


@pytest.mark.parametrize(
    ("data", "end", "longest"),
    [(b"", 0, 10), (b"\x80", 1, 10), (b"\x80\x01", 1, 10), (b"\x80" * 11, 11, 10), (b"\x80" * 5 + b"\x01", 6, 5)],
)
def test_a_number_without_an_end_is_refused(data: bytes, end: int, longest: int) -> None:
    with pytest.raises(ValueError, match="varint"):
        varints.decode(data, 0, end, longest=longest)
