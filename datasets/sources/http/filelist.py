"""A list of the files at a web server, which cannot be asked what it has. No I/O.

One file a line: `path`, `path size`, `path size sha256`, or a line of a checksum list in any of the forms of
checksums.py. Empty lines and those that begin with # say nothing. Paths may have spaces: the last words count if they
look like a size and a digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from datasets.errors import SourceError
from datasets.sources.base import MAX_FILES
from datasets.sources.http import checksum_lists
from datasets.sources.tree import safe_name

MAX_BYTES = 64 << 20
"""Limit for a list at a server."""
# Linear in the length of a line: blanks are tried once, from the letter before them.
_PATH_FIRST = re.compile(r"(?P<path>.*?\S)(?:\s++(?P<size>[0-9]{1,18}))?(?:\s++(?P<sha256>[0-9a-fA-F]{64}))?")


@dataclass(frozen=True, slots=True)
class Listed:
    path: str
    size: int | None
    """Bytes, if the list says so."""
    check: str
    """What the list says of the content, as `algorithm:hex`; "" if it says nothing."""


def parse(text: str, name: str = "") -> list[Listed]:
    """`name`: of the list, whose digest without a name is that of the file beside it (`model.onnx.sha256`).

    Raises SourceError, naming the line, for one that is none of these or names something outside.
    """
    rows: list[Listed] = []
    for number, line in _lines(text):
        where = f"Line {number} of the list"
        if (row := _row(line, where, checksum_lists.beside(name))) is not None:
            rows.append(row)
        if len(rows) > MAX_FILES:
            raise SourceError(f"The list has more than {MAX_FILES} files.", refused="endless")
    if not rows:
        raise SourceError("The list names no file.", hint="One file a line: path, size in bytes, SHA-256.")
    return rows


def is_address(text: str) -> bool:
    """Whether the text is where a list is, and not a list itself."""
    return len(text.split()) == 1 and not checksum_lists.is_digest(text.strip())


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, by number. `sha256sum --zero` ends them with NUL, so that names may have breaks."""
    text = text.removeprefix("\ufeff")
    end = "\0" if "\0" in text else "\n"
    for number, line in enumerate(text.split(end), start=1):
        line = line.removesuffix("\r") if end == "\n" else line
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _row(line: str, where: str, beside: str) -> Listed | None:
    """None for a line that belongs to the form of the list and names no file."""
    if checksum_lists.is_heading(line):
        return None
    if (row := checksum_lists.parse(line, where)) is not None:
        name = beside if row.name in {"", beside.rpartition("/")[2]} else row.name
        if not name:
            raise SourceError(f"{where} has a digest and no name.", hint="One file a line: digest, two spaces, path.")
        return Listed(_path(name, where), None, row.check)
    if (match := _PATH_FIRST.fullmatch(line.strip())) is None:  # a line break within: the list has NULs by mistake
        raise SourceError(f"{where} has neither a digest in front nor one line.", hint="One file a line: path, size.")
    size = int(match["size"]) if match["size"] else None
    return Listed(_path(match["path"], where), size, f"sha256:{match['sha256'].lower()}" if match["sha256"] else "")


def _path(text: str, where: str) -> str:
    if not (path := safe_name(text, where)):
        raise SourceError(f"{where} names no file.")
    return path
