"""Rules for one value. Each is an annotation of a field: `cpu: Annotated[float, Number(0.1, 1024)]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MAX_PATH: Final = 1024


def about(title: str, description: str = "") -> Any:
    """What the page calls a field, and what the OpenAPI document says of it."""
    return Field(title=title or None, description=description or None)


def refuse(message: str) -> NoReturn:
    """Say what is wrong with the value at hand."""
    raise PydanticCustomError("field", "{message}", {"message": message})


class Kind:
    """`check` returns the value as it is kept, or refuses it; `described` is its JSON Schema."""

    def check(self, value: Any) -> Any:
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        return {"type": "string"}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.check, metadata={"pydantic_js_functions": [lambda schema, handler: self.described()]}
        )


@dataclass(frozen=True)
class Whole(Kind):
    low: int
    high: int
    optional: bool = False

    def check(self, value: Any) -> int | None:
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            refuse(f"Must be a whole number from {self.low} to {self.high}.")
        return value

    def described(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high, "nullable": self.optional}


@dataclass(frozen=True)
class Number(Kind):
    low: float
    high: float
    optional: bool = False

    def check(self, value: Any) -> float | None:
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            refuse(f"Must be a number from {self.low:g} to {self.high:g}.")
        return float(value)

    def described(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Text(Kind):
    """Without blanks at its ends. `most`: characters."""

    required: bool = False
    most: int = 0

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            refuse("Must be text.")
        text = value.strip()
        if self.required and not text:
            refuse("Is required.")
        if self.most and len(text) > self.most:
            refuse(f"At most {self.most:,} characters.")
        return text

    def described(self) -> dict[str, Any]:
        return {"type": "string", **({"minLength": 1} if self.required else {}), **_longest(self.most)}


@dataclass(frozen=True)
class Folder(Kind):
    """A path inside a dataset. Names of folders may have blanks at their ends."""

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            refuse("Must be text.")
        if "\0" in value or value.startswith("/") or ".." in value.split("/"):
            refuse("Must be a path inside the dataset: relative, without `..`.")
        if len(value) > MAX_PATH:
            refuse(f"At most {MAX_PATH} characters.")
        return value.strip("/")

    def described(self) -> dict[str, Any]:
        return {"type": "string", **_longest(MAX_PATH)}


@dataclass(frozen=True)
class OneOf(Kind):
    choices: tuple[Any, ...]
    optional: bool = False

    def check(self, value: Any) -> Any:
        if self.optional and value == "":
            return ""
        if isinstance(value, bool) or value not in self.choices:
            refuse(f"Must be one of: {', '.join(map(str, self.choices))}.")
        return value


@dataclass(frozen=True)
class Word(Kind):
    """A text that `pattern` describes to programs, and `what` to people."""

    pattern: re.Pattern[str]
    what: str
    optional: bool = False

    def check(self, value: Any) -> str:
        if self.optional and value == "":
            return ""
        if not isinstance(value, str) or not self.pattern.fullmatch(value):
            refuse(f"Must be {self.what}.")
        return value


@dataclass(frozen=True)
class Flag(Kind):
    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            refuse("Must be true or false.")
        return value

    def described(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Texts(Kind):
    def check(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value or [], list | tuple) or not all(isinstance(text, str) for text in value or []):
            refuse("Must be a list of texts.")
        return tuple(value or ())

    def described(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True)
class Free(Kind):
    """An object whose fields a framework knows."""

    def check(self, value: Any) -> dict[str, Any]:
        if not isinstance(value or {}, Mapping):
            refuse("Must be an object.")
        return dict(value or {})

    def described(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {}}


def _longest(most: int) -> dict[str, Any]:
    return {"maxLength": most} if most else {}
