"""Text files as people have them: UTF-8, or one of the encodings that Windows marks at the front. No Django."""

from __future__ import annotations

import codecs
from typing import Final

# UTF-32 before UTF-16: the little-endian mark of the one begins with that of the other.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NAMES: Final = {"utf-8": "UTF-8 with a byte order mark"}


def decode(content: bytes) -> str:
    """The text without its byte order mark; line ends stay. Raises UnicodeDecodeError."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding)
    return content.decode("utf-8")


def marked_encoding(content: bytes) -> str:
    """What the byte order mark says, in words: "UTF-16", "UTF-8 with a byte order mark"; "" without a mark."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _NAMES.get(encoding, encoding.upper().removesuffix("-LE").removesuffix("-BE"))
    return ""
