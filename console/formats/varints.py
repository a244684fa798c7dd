"""The numbers of protocol buffers: https://protobuf.dev/programming-guides/encoding. Imports nothing of ours."""

from __future__ import annotations

import mmap


def encode(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def decode(content: bytes | mmap.mmap, position: int, end: int, *, longest: int = 10) -> tuple[int, int]:
    """The number at `position`, cut to 64 bits, and the position after it.

    Raises ValueError when it does not end before `end`, or takes more than `longest` bytes.
    """
    number = shift = 0
    while position < end and shift < 7 * longest:
        byte = content[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & (1 << 64) - 1, position
        shift += 7
    raise ValueError("This is not a varint, or it is cut short.")
