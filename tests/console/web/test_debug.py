"""The debug page of a development console says where something failed, and shows no value that was in use there."""

from __future__ import annotations

import sys

from django.test import RequestFactory
from django.views.debug import ExceptionReporter


def report() -> tuple[str, str]:
    word, name = "-".join(("typed", "in", "4711")), "-".join(("plain", "name"))  # else the source lines would show them
    request = RequestFactory().post("/datasets/", {"credentials.word": word, "name": name})
    try:
        raise ValueError(len(word + name))
    except ValueError:
        reporter = ExceptionReporter(request, *sys.exc_info())
        return reporter.get_traceback_html(), reporter.get_traceback_text()


def test_neither_variables_nor_what_was_posted_are_shown() -> None:
    for text in report():
        assert "test_debug.py" in text and "credentials.word" in text
        assert "typed-in-4711" not in text and "plain-name" not in text
