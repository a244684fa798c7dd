"""Serializers of dataclasses: what the REST API answers, and its OpenAPI document, follow from the class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Annotated, Any, Final, cast, get_args, get_origin, get_type_hints

from rest_framework import serializers

SCALARS: Final[dict[Any, Any]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    float: serializers.FloatField,
    bool: serializers.BooleanField,
    datetime: serializers.DateTimeField,
}


@cache
def answer(shape: Any, *without: str) -> type[serializers.Serializer[Any]]:
    """Its fields in their order, but those `without`. A text in Annotated is what the document says of a field."""
    hints = get_type_hints(shape, include_extras=True)
    fields = {name: _field(hint) for name, hint in hints.items() if name not in without}
    return type(f"{shape.__name__}Out", (serializers.Serializer,), fields)


def _field(hint: Any) -> Any:
    kind: Any
    kind, *help_text = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    options: dict[str, Any] = {"help_text": help_text[0]} if help_text else {}
    if NoneType in get_args(kind):
        options["allow_null"] = True
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if is_dataclass(kind):
        return answer(cast(Any, kind))(**options)
    if get_origin(kind) is tuple:
        each: Any = get_args(kind)[0]
        many = {"many": True} if is_dataclass(each) else {"child": _field(each)}
        return (answer(cast(Any, each)) if is_dataclass(each) else serializers.ListField)(**many, **options)
    if get_origin(kind) is Mapping:
        return serializers.DictField(child=_field(get_args(kind)[1]), **options)
    return SCALARS[kind](**options)
