"""The inputs of the form that follow from ServiceSpec: one for each field, or one list of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any, Final, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from services.forms.typed import join, number, plain, split
from services.schema.kinds import Folder, Free, Kind, Number, Texts, Whole
from services.schema.structure import Variables
from services.specs import ReadBy, ServiceSpec


@dataclass(frozen=True)
class Input:
    """`name`: the dotted path of the field in the API. A list has `columns`; in the API it may be an object."""

    name: str
    title: str
    default: str
    read: Callable[[str], Any]
    """What was typed, as the API has it."""
    columns: tuple[Input, ...] = ()
    is_object: bool = False
    help: str = ""
    is_note: bool = False
    """Only the console reads it: a plain text for people."""


def shown(value: Any) -> str:
    """A value of the API as it would be typed."""
    return join(value) if isinstance(value, list | tuple) else plain(value)


def within(spec: Mapping[str, Any], name: str) -> Any:
    """The value at a dotted path."""
    value: Any = spec
    for part in name.split("."):
        value = value[part]
    return value


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths and values -> objects."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return tree


def _inputs(shape: Any, prefix: str = "") -> Iterator[Input]:
    hints = get_type_hints(shape, include_extras=True)
    for field in fields(shape):
        name, (kind, *marks) = f"{prefix}{field.name}", get_args(hints[field.name])
        rule = next((mark for mark in marks if isinstance(mark, Kind)), None)
        if is_dataclass(kind):
            yield from _inputs(kind, f"{name}.")
        elif isinstance(rule, Variables):
            columns = (Input("name", "", "", str.strip), Input("value", "", "", str))
            yield Input(name, _about(marks).title or "", "", str, columns, is_object=True)
        elif not isinstance(rule, Free):  # that is the framework's
            yield Input(
                name,
                _about(marks).title or "",
                _default(field),
                _reader(kind, rule),
                _columns(kind),
                help=_about(marks).description or "",
                is_note=ReadBy.CONSOLE in marks,
            )


def types_of(shape: Any) -> dict[str, Any]:
    """The types of the fields of a framework's options, by name."""
    return {name: get_origin(kind) or kind for name, kind in get_type_hints(shape).items()}


def labels_of(shape: Any, prefix: str) -> dict[str, str]:
    """What the page calls the fields of a framework's options."""
    hints = get_type_hints(shape, include_extras=True)
    return {f"{prefix}.{name}": title for name, hint in hints.items() if (title := _about(hint.__metadata__).title)}


def _columns(kind: Any) -> tuple[Input, ...]:
    if get_origin(kind) is not tuple:
        return ()
    row = (get_args(get_args(kind)[0]) or get_args(kind))[0]
    return tuple(_inputs(row)) if is_dataclass(row) else ()


def _about(marks: Sequence[Any]) -> FieldInfo:
    return next((mark for mark in marks if isinstance(mark, FieldInfo)), FieldInfo())


def _default(field: Field[Any]) -> str:
    return "" if field.default is MISSING else shown(field.default)


def _reader(kind: Any, rule: Kind | None) -> Callable[[str], Any]:
    if isinstance(rule, Whole) and rule.optional:
        return lambda text: number(text) if text.strip() else None
    if isinstance(rule, Whole | Number):
        return number
    if isinstance(rule, Texts) or get_origin(kind) is tuple:
        return split
    return str if isinstance(rule, Folder) else str.strip  # folders may have blanks at the ends of their names


INPUTS: Final = tuple(_inputs(ServiceSpec))
FIELDS: Final = tuple(each for each in INPUTS if not each.columns)
LISTS: Final = tuple(each for each in INPUTS if each.columns)
