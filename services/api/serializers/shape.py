"""Serializers of a shape, for the OpenAPI document: its fields, bounds and descriptions. What is sent is checked by
`services.parsing`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from rest_framework import serializers

from services.schema.stored import adapter

Json = Mapping[str, Any]
NUMBERS: dict[str, Any] = {"integer": serializers.IntegerField, "number": serializers.FloatField}


class Shaped(serializers.Serializer[Any]):
    """Its own fields, and those of `shape`."""

    shape: ClassVar[Any]

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), **_fields(self.shape, _document(self.shape))}


@cache
def _document(shape: Any) -> dict[str, Any]:
    return adapter(shape).json_schema()


def _fields(shape: Any, schema: Json) -> dict[str, Any]:
    required = schema.get("required", ())
    return {name: _field(shape, part, name in required) for name, part in schema["properties"].items()}


@cache
def _serializer(shape: Any, name: str) -> type[serializers.Serializer[Any]]:
    """`name`: of a shape that is nested in `shape`."""
    fields = _fields(shape, _document(shape)["$defs"][name])
    return type(f"{name.removeprefix('Service')}Shape", (serializers.Serializer,), fields)


def _field(shape: Any, schema: Json, required: bool = True) -> Any:
    about: dict[str, Any] = {"required": required, "help_text": schema.get("description")}
    if nested := _nested(schema):
        return _serializer(shape, nested)(**about)
    kind = schema["type"]
    if kind == "array":
        if nested := _nested(schema["items"]):
            return _serializer(shape, nested)(many=True, **about)
        return serializers.ListField(child=_field(shape, schema["items"]), **about)
    if kind == "object":
        if schema["additionalProperties"]:
            about["child"] = serializers.CharField(allow_blank=True)
        return serializers.DictField(**about)
    if kind in NUMBERS:
        about |= {"min_value": schema.get("minimum"), "max_value": schema.get("maximum")}
        return NUMBERS[kind](allow_null=schema.get("nullable", False), **about)
    return serializers.CharField(allow_blank=schema.get("default") == "", max_length=schema.get("maxLength"), **about)


def _nested(schema: Json) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]
