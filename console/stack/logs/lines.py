"""One line of a log for each message, whatever text of a user or of a server is in it."""

from __future__ import annotations

import logging
from typing import Final

CONTROL: Final = {number: f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
    0x0A: "\\n",
    0x0D: "\\r",
    0x09: "\\t",
}


class Lines(logging.Formatter):
    """Escapes control characters, so that nobody can add lines of their own. A traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).translate(CONTROL)
