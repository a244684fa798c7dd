"""Which parameters a request for text may have, and their types, whatever type they were sent as. Pure.

A list of what is allowed: a parameter that is not in it could change what a service may do, and never reaches it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from services.bridge.errors import invalid

_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,3})?")
"""What a number in a text must be: int() and float() take blanks, `1_0`, digits of other alphabets and NaN too."""


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, str) and not _WHOLE.fullmatch(value)):
        raise ValueError
    number = int(value) if isinstance(value, (int, str)) else float(value)
    if int(number) != number:
        raise ValueError
    return int(number)


def _number(value: Any) -> float:
    if isinstance(value, bool) or (isinstance(value, str) and not _DECIMAL.fullmatch(value)):
        raise ValueError
    if not math.isfinite(float(value)):
        raise ValueError
    return float(value)


def _truth(value: Any) -> bool:
    truth = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    if truth is None:
        raise ValueError
    return truth


def _stops(value: Any) -> str | list[str]:
    """One text, or a JSON list of texts."""
    if not isinstance(value, str):
        raise ValueError
    if not value.startswith("["):
        return value
    listed = json.loads(value)
    if not all(isinstance(item, str) for item in listed):
        raise ValueError
    return list(listed)


_Reader = Callable[[Any], Any]
INTEGER: Final[tuple[str, _Reader]] = ("a whole number", _integer)
NUMBER: Final[tuple[str, _Reader]] = ("a number", _number)
TRUTH: Final[tuple[str, _Reader]] = ("true or false", _truth)
STOPS: Final[tuple[str, _Reader]] = ("a text, or a JSON list of texts", _stops)

GENERATION: Final = {
    "max_tokens": INTEGER,
    "min_tokens": INTEGER,
    "top_k": INTEGER,
    "seed": INTEGER,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "min_p": NUMBER,
    "frequency_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "repetition_penalty": NUMBER,
    "stop": STOPS,
    "ignore_eos": TRUTH,
}
EMBEDDING: Final = {"dimensions": INTEGER}


def read(parameters: Mapping[str, Any], allowed: Mapping[str, tuple[str, _Reader]]) -> dict[str, Any]:
    """InferParameters by name -> values for OpenAI's API. Raises BridgeError(INVALID) that names the parameter."""
    values = {}
    for name in sorted(parameters):
        if name not in allowed:
            raise invalid(f"Unknown parameter {name}. Allowed: {', '.join(sorted(allowed))}.")
        which = parameters[name].WhichOneof("parameter_choice")
        what, reader = allowed[name]
        try:
            values[name] = reader(getattr(parameters[name], which) if which else None)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise invalid(f"The parameter {name} must be {what}.") from None
    return values
