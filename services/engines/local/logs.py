"""Reads a log that supervisord writes and rotates (`x.log`, `x.log.1`, ...). Offsets are bytes in the current file.

When the file has been rotated since the last read, the offset lies beyond its end: what was left of the old file (now
`.1`) comes first, then the new one from its start. A reader that stays away for more than a whole file misses some.
"""

from __future__ import annotations

from pathlib import Path

from services.engines.base import LogChunk


def read(log: Path, offset: int | None, limit: int) -> LogChunk:
    size = _size(log)
    if offset is None:
        return _tail(log, size, limit)
    if offset <= size:
        return _chunk(log, max(0, offset), size, limit)
    rotated = log.with_name(f"{log.name}.1")
    old_size = _size(rotated)
    if offset >= old_size:  # read to its end already, or truncated
        return _chunk(log, 0, size, limit)
    rest = _read(rotated, offset, min(limit, old_size - offset))
    ended = offset + len(rest) == old_size
    raw = rest + _read(log, 0, min(size, limit - len(rest)) if ended else 0)  # a character may be in both files
    raw = raw[: len(raw) - _unfinished(raw)]
    into_new = ended and len(raw) >= len(rest)
    return LogChunk(raw.decode("utf-8", "replace"), len(raw) - len(rest) if into_new else offset + len(raw))


def _tail(log: Path, size: int, limit: int) -> LogChunk:
    start = max(0, size - limit)
    raw = _read(log, start, size - start)
    if start:  # begin with a whole line
        raw = raw[raw.find(b"\n") + 1 :]
    return LogChunk(raw.decode("utf-8", "replace"), size - _unfinished(raw))


def _chunk(log: Path, offset: int, size: int, limit: int) -> LogChunk:
    raw = _read(log, offset, min(limit, size - offset))
    raw = raw[: len(raw) - _unfinished(raw)]
    return LogChunk(raw.decode("utf-8", "replace"), offset + len(raw))


def _unfinished(raw: bytes) -> int:
    """How many bytes at the end are the start of a UTF-8 character whose rest is not there yet."""
    for back in range(1, min(4, len(raw)) + 1):
        byte = raw[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return back if length > back else 0
    return 0


def _read(log: Path, offset: int, count: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read(count)
    except FileNotFoundError:
        return b""


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0
