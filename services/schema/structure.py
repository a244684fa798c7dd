"""Rules for what holds other values: nested shapes, lists of rows, objects of variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from services.schema.kinds import Kind, refuse

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_VARIABLE: Final = 32 << 10
"""Characters. Linux starts no process with a variable of more than 128 KiB."""

Problem = tuple[tuple[int | str, ...], str]
"""Where below the value at hand, and what is wrong there."""


def refuse_all(problems: Sequence[Problem]) -> None:
    if problems:
        details = [
            InitErrorDetails(type=PydanticCustomError("field", "{message}", {"message": message}), loc=at, input=None)
            for at, message in problems
        ]
        raise ValidationError.from_exception_data("fields", details)


def problems_of(error: ValidationError) -> list[Problem]:
    return [(line["loc"], line["msg"]) for line in error.errors(include_url=False, include_input=False)]


def messages_of(error: ValidationError, *below: str) -> dict[str, list[str]]:
    """Dotted path -> what is wrong there. `below`: the path of the value that was checked."""
    messages: dict[str, list[str]] = {}
    for path, message in problems_of(error):
        messages.setdefault(".".join(map(str, (*below, *path))), []).append(message)
    return messages


def repeated(names: Sequence[str], *below: str) -> list[Problem]:
    """A problem for each row whose name an earlier one has. `below`: where in the row the name is."""
    return [
        ((index, *below), f"{name} is there more than once.")
        for index, name in enumerate(names)
        if name in names[:index]
    ]


@dataclass(frozen=True)
class Nested:
    """A shape in a shape: null and {} are its defaults, a field that it does not have is refused unless it is `open`.

    It is a dataclass, or a TypedDict of what may be left out. `is_row`: it is an item of a list, so it must be there.
    """

    open: bool = False
    is_row: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        rows = fields(source) if is_dataclass(source) else ()
        names = [field.name for field in rows] or list(source.__annotations__)
        required = {f.name: "" for f in rows if f.default is MISSING and f.default_factory is MISSING}

        def check(value: Any, inner: Callable[[Any], Any]) -> Any:
            value = value if value or self.is_row else {}
            if not isinstance(value, Mapping):
                refuse(f"Must be an object with {listed(names)}.")
            unknown = [] if self.open else sorted(str(key) for key in value if key not in names)
            problems: list[Problem] = [((key,), f"Unknown. Use {listed(names)}.") for key in unknown]
            shape = None
            try:
                # What is missing says the same as what is empty.
                shape = inner({**required, **{name: value[name] for name in names if name in value}})
            except ValidationError as error:
                problems = [*problems_of(error), *problems]
            refuse_all(problems)
            return shape

        return core_schema.no_info_wrap_validator_function(check, handler(source))


@dataclass(frozen=True)
class Rows:
    """A list of at most `most`. `what`: they are."""

    most: int
    what: str
    too_many: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: Any) -> Any:
            rows = value or []
            if not isinstance(rows, list | tuple):
                refuse(f"Must be a list of {self.what}.")
            if len(rows) > self.most:
                refuse(self.too_many or f"At most {self.most}.")
            return rows

        return core_schema.no_info_before_validator_function(check, handler(source))


@dataclass(frozen=True)
class Variables(Kind):
    """Names and values of environment variables."""

    def check(self, value: Any) -> dict[str, str]:
        value = value or {}
        if not isinstance(value, Mapping):
            refuse("Must be an object of names and values.")
        refuse_all([((str(key),), message) for key, text in value.items() if (message := self._problem(key, text))])
        return dict(value)

    def _problem(self, name: Any, value: Any) -> str:
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            return "A name has letters, digits and underscores and does not start with a digit."
        if not isinstance(value, str) or "\0" in value:
            return "The value must be text."
        return f"At most {MAX_VARIABLE:,} characters." if len(value) > MAX_VARIABLE else ""

    def described(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "string"}}


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
