"""A shape as JSON that is stored, and back. Nothing is judged: rules may have become stricter since it was stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from services.schema.structure import Nested

T = TypeVar("T")
Reader = Callable[[Any], Any]


@cache
def adapter(shape: Callable[..., Any]) -> TypeAdapter[Any]:
    """It checks what people send, and writes JSON."""
    annotated: Any = Annotated[shape, Nested(open=True)]
    return TypeAdapter(annotated)


def write(value: Any) -> dict[str, Any]:
    shape: Callable[..., Any] = type(value)
    document: dict[str, Any] = adapter(shape).dump_python(value, mode="json")
    return document


def read(shape: Callable[..., T], data: Mapping[str, Any]) -> T:
    """What is not there, such as a field that came later, has its default."""
    return shape(**{name: reader(data[name]) for name, reader in _readers(shape).items() if name in data})


@cache
def _readers(shape: Any) -> dict[str, Reader]:
    types = get_type_hints(shape)
    return {field.name: _reader(types[field.name]) for field in fields(shape)}


def _reader(kind: Any) -> Reader:
    if is_dataclass(kind):
        return lambda value: read(kind, value)  # type: ignore[arg-type]  # mypy takes it for an instance
    if get_origin(kind) is tuple:
        each = _reader(get_args(kind)[0])
        return lambda values: tuple(map(each, values))
    return lambda value: value
