"""How what is wrong with a service as people send it is collected: every field, not only the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console.errors import InvalidFields


@dataclass
class Wrong:
    """Messages by dotted field path."""

    errors: dict[str, list[str]] = field(default_factory=dict)

    def add(self, field: str, message: str) -> None:
        self.errors.setdefault(field, []).append(message)

    def end(self) -> None:
        """Raises InvalidFields when anything was added."""
        if self.errors:
            raise InvalidFields(self.errors)


def whole(value: Any, field: str, wrong: Wrong, *, low: int, high: int) -> int:
    """`value`, when it is a whole number in the range; otherwise `low`, and a message."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        wrong.add(field, f"Must be a whole number from {low} to {high}.")
        return low
    return value


def only(data: Mapping[str, Any], field: str, known: tuple[str, ...], wrong: Wrong) -> None:
    """A message for each key of the object `field` that there is not."""
    names = " and ".join(part for part in (", ".join(known[:-1]), known[-1]) if part)
    for key in sorted(str(key) for key in data if key not in known):
        wrong.add(f"{field}.{key}", f"Unknown. Use {names}.")
