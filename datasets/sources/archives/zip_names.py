"""Names of members of a zip, of which many tools write something else than the specification says. No I/O."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import Final

_UTF8: Final = 0x800
_UNIX: Final = frozenset({3, 19})
"""Systems on which a backslash may be a letter of a name: Unix and macOS."""
_UNICODE_PATH: Final = 0x7075


def name_of(row: zipfile.ZipInfo) -> str:
    """The name with `/` between folders, also at its end for a folder.

    Tools of Windows (Compress-Archive of PowerShell 5, .NET before 4.6.1) write `\\`; unzip and 7-Zip read it as `/`.
    """
    name = row.filename if row.flag_bits & _UTF8 else _decoded(row)
    return name if row.create_system in _UNIX else name.replace("\\", "/")


def _decoded(row: zipfile.ZipInfo) -> str:
    """Without the mark for UTF-8: by the extra field of Info-ZIP, as UTF-8 if it is that, or as DOS wrote it."""
    if row.filename.isascii():
        return row.filename
    raw = row.filename.encode("cp437")
    if name := _unicode_path(row.extra, raw):
        return name
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return row.filename


def _unicode_path(extra: bytes, raw: bytes) -> str:
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and len(field) > 5 and int.from_bytes(field[1:5], "little") == zlib.crc32(raw):
            return field[5:].decode("utf-8", "replace")
    return ""
