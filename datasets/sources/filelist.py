"""A list of the files at a web server, which cannot be asked what it has. No I/O.

One file a line: `path`, `path size`, `path size sha256`, or `sha256  path` as sha256sum writes it. Empty lines and
those that begin with # say nothing. Paths may have spaces: the last words count if they look like a size and a digest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from datasets.errors import SourceError
from datasets.sources.base import MAX_FILES
from datasets.sources.tree import safe_name

MAX_BYTES = 64 << 20
"""Of a list at a server."""
_DIGEST_FIRST = re.compile(r"(?P<escaped>\\)?(?P<sha256>[0-9a-fA-F]{64}) [ *](?P<path>.+)")
_PATH_FIRST = re.compile(r"(?P<path>.+?)(?:\s+(?P<size>[0-9]{1,18})(?:\s+(?P<sha256>[0-9a-fA-F]{64}))?)?")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


@dataclass(frozen=True, slots=True)
class Listed:
    path: str
    size: int | None
    """Bytes, if the list says so."""
    sha256: str
    """In hex, or ""."""


def parse(text: str) -> list[Listed]:
    """Raises SourceError, naming the line, for one that is none of these or names something outside."""
    found: list[Listed] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found.append(_line(line, f"Line {number} of the list"))
        if len(found) > MAX_FILES:
            raise SourceError(f"The list has more than {MAX_FILES} files.", refused="endless")
    if not found:
        raise SourceError("The list names no file.", hint="One file a line: path, size in bytes, SHA-256.")
    return found


def _line(line: str, where: str) -> Listed:
    if told := _DIGEST_FIRST.fullmatch(line):
        path = told["path"]
        if told["escaped"]:  # sha256sum does so for names with a backslash or a line break
            path = re.sub(r"\\[\\nr]", lambda seen: _ESCAPES[seen[0]], path)
        return Listed(_path(path, where), None, told["sha256"].lower())
    told = _PATH_FIRST.fullmatch(line)
    assert told is not None  # the path takes whatever is there
    size = int(told["size"]) if told["size"] else None
    return Listed(_path(told["path"], where), size, (told["sha256"] or "").lower())


def _path(text: str, where: str) -> str:
    if not (path := safe_name(text, where)):
        raise SourceError(f"{where} names no file.")
    return path
