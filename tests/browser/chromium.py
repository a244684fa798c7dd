"""Starts the machine's own Chromium, and notes what a page does that none of ours may do."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium looks for updates and trials by itself; and its sandbox needs rights that a container does not give.
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
OURS = {"127.0.0.1"}
REFUSED_INPUT = re.compile(r"status of 422")
"""Chromium calls every status from 400 on an error; 422 is how a form comes back with its messages."""


def executable() -> str:
    """CHROMIUM, or what is on the PATH; skips the test when there is none."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium: apt install chromium, or say where it is in CHROMIUM")
    return path


@contextmanager
def launch() -> Iterator[Browser]:
    """While it is open, Playwright runs a loop in this thread, and Django refuses its database: do not mix the two."""
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Watch:
    """What went wrong in a page, and who it talked to."""

    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """Requests that left this machine."""
    urls: list[str] = field(default_factory=list)
    """Every request, to know that the page was watched at all."""

    def follow(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.errors.append(f"{page.url}: {error}"))
        page.on("console", self._console_message)
        page.on("request", self._requested)

    def _console_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not REFUSED_INPUT.search(message.text):
            self.errors.append(f"{message.location.get('url')}: {message.text}")

    def _requested(self, request: Request) -> None:
        address = urlsplit(request.url)
        self.urls.append(request.url)
        if address.scheme not in {"data", "blob"} and address.hostname not in OURS:
            self.elsewhere.append(request.url)
