"""`framework_config` as people send it, checked against the shape that a framework gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from console.errors import InvalidFields
from services.schema.structure import messages_of


def parse(shape: TypeAdapter[Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Only the options that set something, as JSON. Raises InvalidFields."""
    try:
        checked = shape.validate_python({name: value for name, value in raw.items() if value is not None})
    except ValidationError as error:
        raise InvalidFields(messages_of(error, "framework_config")) from None
    options = shape.dump_python(checked, mode="json")
    return {name: value for name, value in options.items() if value is not False and value not in ("", [], {})}
