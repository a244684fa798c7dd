"""Values as people type them without JSON: between commas or spaces. What is wrong names the input and the token."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from services.clients.inference.datatypes import DTYPES, KINDS, BadValues, quoted

NO_VALUES: Final = "Give values, or let them be generated."
SEPARATORS: Final = re.compile(r"[,;\s]+")
TRUTHS: Final = {"true": True, "false": False}
WHOLE: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
REAL: Final = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
NOT_FINITE: Final = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE)
SEPARATED: Final = re.compile(r"[-+]?(?:0[0-9]+|[0-9]+(?:[_'][0-9]+)+)")
"""`007`, the rest of `1,000`, `1_000`."""
LONGEST_NUMBER: Final = 100
"""Digits of a whole number. No whole datatype holds more, and Python needs long to read many. Floats may have more."""


def read_tokens(text: str, name: str, datatype: str) -> list[Any]:
    """Numbers, or true and false, for a datatype that is not BYTES. Raises BadValues."""
    tokens = [token for token in SEPARATORS.split(text) if token]
    if not tokens:
        raise BadValues("data", NO_VALUES)
    return [_read(token, i, name, datatype) for i, token in enumerate(tokens, start=1)]


def explain_word(word: str, where: str, name: str, datatype: str) -> str:
    """What is wrong with a bare word in a JSON list of such values."""
    return f"{name}: {quoted(word)} is {_lacking(datatype)} in JSON ({where})."


def _read(token: str, position: int, name: str, datatype: str) -> Any:
    """One value of a text that is no JSON."""
    kind = DTYPES[datatype].kind
    if kind == "b" and token.lower() in TRUTHS:
        return TRUTHS[token.lower()]
    if kind != "b" and WHOLE.fullmatch(token) and (kind in KINDS or len(token) <= LONGEST_NUMBER):
        return int(token[:LONGEST_NUMBER])
    if kind not in KINDS and REAL.fullmatch(token):
        if not math.isinf(value := float(token)):
            return value
        raise BadValues("data", f"{name}: {token} does not fit {datatype} (value {position}).")
    lacking, hint = _lacking(datatype), ""
    if kind not in KINDS and NOT_FINITE.fullmatch(token):
        lacking, hint = "not a finite number", " Upload a .npy file to send such values."
    elif SEPARATED.fullmatch(token):
        hint = " Write numbers without leading zeros and thousands separators."
    raise BadValues("data", f"{name}: {quoted(token)} is {lacking} (value {position}).{hint}")


def _lacking(datatype: str) -> str:
    """What a value is not."""
    whole = "not a whole number"
    return {"b": "neither true nor false", "i": whole, "u": whole}.get(DTYPES[datatype].kind, "not a number")
