"""How numbers, lists and names of fields are typed into the form, and read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

CONFIG: Final = "framework_config"
Row = Mapping[str, str]


def short(name: str) -> str:
    """`framework_config.inputs` -> `inputs`."""
    return name.rsplit(".", 1)[-1]


def flat(name: str) -> str:
    """`resources.cpu` -> `resources_cpu`, as a template can spell it."""
    return name.replace(".", "_")


def split(text: str) -> list[str]:
    """`a, b` -> ["a", "b"]."""
    return [part.strip() for part in text.split(",") if part.strip()]


def join(values: Sequence[Any]) -> str:
    return ", ".join(str(value) for value in values)


def number(text: str) -> int | float | str:
    """`2` -> 2, `0.5` -> 0.5; anything else as it is, for the parser to say what is wrong."""
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def plain(value: Any) -> str:
    """1.0 -> "1"; None -> ""."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
