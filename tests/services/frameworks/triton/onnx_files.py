"""Writes small ONNX files for tests: the console's environment has no onnx package. Real ones: tests/integration."""

from __future__ import annotations

from pathlib import Path


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes(encoded) + bytes([number])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, element: int, shape: list[int | str] | None) -> bytes:
    """A ValueInfoProto; a text in `shape` is a named (free) dimension, None is no shape at all."""
    kind = field(1, element)
    if shape is not None:
        kind += field(2, b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in shape))
    return field(1, name) + field(2, field(1, kind))


def model(inputs: list[bytes], outputs: list[bytes], weights: dict[str, bytes] | None = None) -> bytes:
    graph = field(2, "graph")
    graph += b"".join(field(5, field(8, name) + field(9, data)) for name, data in (weights or {}).items())
    graph += b"".join(field(11, value) for value in inputs) + b"".join(field(12, value) for value in outputs)
    return field(1, 8) + field(2, "test") + field(7, graph) + field(8, field(2, 17))


def write_digits(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model([tensor("pixels", 1, ["n", 64])], [tensor("label", 7, ["n"])], {"w": b"\0" * 1000}))
