"""The debug page of a development console says where something failed, and shows no value that was in use there."""

from __future__ import annotations

import sys

from django.test import RequestFactory
from django.views.debug import ExceptionReporter


def report() -> tuple[str, str]:
    request = RequestFactory().post("/datasets/", {"credentials.word": "typed-in-4711", "name": "plain-name"})
    word = "local-4711"
    try:
        raise ValueError(len(word))
    except ValueError:
        reporter = ExceptionReporter(request, *sys.exc_info())
        return reporter.get_traceback_html(), reporter.get_traceback_text()


def test_neither_variables_nor_what_was_posted_are_shown() -> None:
    for text in report():
        assert "test_debug.py" in text and "credentials.word" in text
        for value in ("typed-in-4711", "plain-name"):
            assert value not in text
        assert text.count("local-4711") <= 1  # the line of the source that names it
