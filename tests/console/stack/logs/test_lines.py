"""A text of a user in a message adds no line to the log."""

from __future__ import annotations

import logging
import sys

from django.conf import settings

from console.stack.logs.lines import Lines


def record(message: str, *args: object, error: bool = False) -> logging.LogRecord:
    info = sys.exc_info() if error else None
    return logging.LogRecord("datasets", logging.WARNING, "x.py", 1, message, args, info)


def test_a_message_is_one_line() -> None:
    text = Lines("%(levelname)s %(message)s").format(record("Refused: %s", "a\nERROR fake\r\x1b[31m\u2028b\x85"))
    assert text == "WARNING Refused: a\\nERROR fake\\r\\x1b[31m\\u2028b\\x85"


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("inside")
    except ValueError:
        text = Lines("%(message)s").format(record("It failed: %s", "a\nb", error=True))
    assert text.startswith("It failed: a\\nb\nTraceback ") and text.endswith("ValueError: inside")


def test_every_process_of_the_console_logs_so() -> None:
    assert settings.CELERY_WORKER_HIJACK_ROOT_LOGGER is False
    assert settings.LOGGING["formatters"]["line"]["()"] == f"{Lines.__module__}.Lines"
