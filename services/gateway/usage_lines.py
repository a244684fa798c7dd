"""What lines of the gateway's access log say, as sums: who called what, how it ended, how long it took, how much.

Pure: bytes in, sums out. Which bytes of which file are read, and where the sums go, is services/usage/metering.py.
The fields themselves are named in services/gateway/envoy/listener.py.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import strptime
from typing import Any, Final

BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000)
"""Upper bounds of the latency histogram. Envoy cuts a duration to whole milliseconds, so `under` is exact."""
BUCKETS: Final = (*(f"under_{bound}" for bound in BOUNDS_MS), "longer")
OUTCOMES: Final = ("client_errors", "server_errors", "limited", "cancelled")
"""How a request can end other than well; each ends in one way. `limited`: a limit of the key or of the service."""
AMOUNTS: Final = ("bytes_in", "bytes_out", "prompt_tokens", "completion_tokens")
MEASURES: Final = ("requests", *OUTCOMES, *AMOUNTS, "ms", *BUCKETS)
"""The sums, in the order of the lists in `Sums.rows`. `ms` and the buckets are of requests that ended well."""
DOORS: Final = frozenset({"v2-rest", "v2-grpc", "openai", "v1", "tfserving", "llm-grpc", "catalogue"})

_PLACE: Final = {name: place for place, name in enumerate(MEASURES)}
_MS, _FIRST_BUCKET = _PLACE["ms"], _PLACE[BUCKETS[0]]
_MOST: Final = 1 << 40
"""More than any request has of anything; a larger number is a broken line's."""
_CLIENTS_FAULT: Final = frozenset({3, 5, 6, 7, 9, 11, 12, 16})
"""gRPC: INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE,
UNIMPLEMENTED, UNAUTHENTICATED."""
_LIMIT: Final = frozenset({"RL", "UO"})
"""Envoy's flags of a rate limit, and of a cluster that has as many requests as it may have."""
_GONE: Final = frozenset({"DC", "DR"})
_CUT: Final = frozenset({"UC", "UR", "UF", "UH", "UT", "UPE", "UMSDR", "SI", "LR", "LH", "OM", "DT"})
"""Flags that spoil an answer which began with a 200."""


@dataclass(frozen=True, order=True)
class Row:
    """Whose sums they are. Texts are "" where the log does not say."""

    minute: int
    """Seconds since the epoch (UTC) at which the minute began in which the request did."""
    key_id: str
    service: str
    door: str


@dataclass
class Sums:
    rows: dict[Row, list[int]] = field(default_factory=dict)
    """Sums in the order of MEASURES."""
    last_use: dict[str, int] = field(default_factory=dict)
    """Key id -> the last second in which a request of it began."""
    requests: int = 0
    torn: int = 0
    """Beginnings of lines that a gateway which was killed did not finish, before a whole one."""
    unreadable: int = 0
    """Lines that say nothing. Whatever they were, they are in no sum."""


def add_up(text: bytes) -> Sums:
    """The sums of whole lines, each ended by a newline. A line that cannot be read is counted as such, and skipped."""
    sums = Sums()
    for line in text.split(b"\n"):
        if not line:
            continue
        record, torn = _read(line)
        if record is None or not _add(sums, record):
            sums.unreadable += 1
            continue
        sums.torn += torn
    return sums


def first_request(line: bytes) -> str:
    """The id of the line's request, unique to it; "" without one."""
    record, _ = _read(line)
    request_id = (record or {}).get("request_id")
    return request_id if isinstance(request_id, str) else ""


def _read(line: bytes) -> tuple[dict[str, Any] | None, bool]:
    """The line's object, and whether the beginning of another, never finished, stands before it."""
    record = _parse(line)
    if record is not None:
        return record, False
    # Within a JSON text a quote is escaped, so `{"` begins a line's object, or ends some text and parses as nothing.
    start = line.find(b'{"', 1)
    while start > 0:
        if (record := _parse(line[start:])) is not None:
            return record, True
        start = line.find(b'{"', start + 1)
    return None, False


def _parse(text: bytes) -> dict[str, Any] | None:
    if not text.endswith(b"}"):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _add(sums: Sums, record: Mapping[str, Any]) -> bool:
    began = _seconds(record.get("time"))
    if began is None or "status" not in record:
        return False
    key_id = _name(record.get("client"), 20)
    door = record.get("door")
    row = Row(
        began - began % 60,
        key_id,
        _name(record.get("service"), 63),
        door if isinstance(door, str) and door in DOORS else "",
    )
    sums.requests += 1
    if key_id and sums.last_use.get(key_id, 0) < began:
        sums.last_use[key_id] = began
    totals = sums.rows.get(row)
    if totals is None:
        totals = sums.rows[row] = [0] * len(MEASURES)
    totals[0] += 1
    totals[5] += _amount(record.get("bytes_in"))
    totals[6] += _amount(record.get("bytes_out"))
    totals[7] += _amount(record.get("prompt_tokens")) or _amount(record.get("bridge_prompt_tokens"))
    totals[8] += _amount(record.get("completion_tokens")) or _amount(record.get("bridge_completion_tokens"))
    outcome = ended(record)
    if outcome:
        totals[_PLACE[outcome]] += 1
    else:
        took = _amount(record.get("ms"))
        totals[_MS] += took
        totals[_FIRST_BUCKET + bisect_right(BOUNDS_MS, took)] += 1
    return True


def ended(record: Mapping[str, Any]) -> str:
    """One of OUTCOMES, or "" for a request that ended well."""
    status, grpc = record.get("status"), _number(record.get("grpc_status"))
    flags = set(str(record.get("flags") or "").split(","))
    if status == 429 or flags & _LIMIT:
        return "limited"
    if flags & _GONE:
        return "cancelled"
    if grpc is not None and status in (200, 0, None):
        return _grpc_ended(grpc, str(record.get("details") or ""))
    if isinstance(status, int) and 200 <= status < 400:
        return "server_errors" if flags & _CUT else ""
    return "client_errors" if isinstance(status, int) and 400 <= status < 500 else "server_errors"


def _grpc_ended(status: int, details: str) -> str:
    if status == 0:
        return ""
    if status == 1:
        return "cancelled"
    if status == 8:  # what is too large says so with the same status as what is too much
        return "client_errors" if details.startswith(("grpc_field_extraction", "request_payload")) else "limited"
    return "client_errors" if status in _CLIENTS_FAULT else "server_errors"


def _number(value: Any) -> int | None:
    """A number, however it is spelled: V2 inferences log a text, "-" for no number."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 5:
        return int(value)
    return value if isinstance(value, int) else None


def _name(value: Any, longest: int) -> str:
    if not isinstance(value, str) or value == "-" or len(value) > longest or "\0" in value:
        return ""
    return value if value.isprintable() else ""


def _amount(value: Any) -> int:
    """A count, however it is spelled: a number, the text of one (a header), or nothing."""
    if type(value) is int:
        return value if 0 < value < _MOST else 0
    if isinstance(value, float):
        return round(value) if math.isfinite(value) and 0 < value < _MOST else 0
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 13:
        return int(value)
    return 0


def _seconds(value: Any) -> int | None:
    """2026-11-20T13:15:05.304Z as whole seconds since the epoch."""
    if not isinstance(value, str) or len(value) < 20 or not value.endswith("Z"):
        return None
    minute = _minute(value[:16])
    seconds = value[17:19]
    return minute + int(seconds) if minute is not None and seconds.isascii() and seconds.isdigit() else None


@lru_cache(maxsize=4096)
def _minute(text: str) -> int | None:
    try:
        seconds = timegm(strptime(text, "%Y-%m-%dT%H:%M"))
    except ValueError:
        return None
    return seconds if 0 < seconds < 1 << 33 else None
