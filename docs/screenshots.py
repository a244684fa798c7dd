"""Takes the README's pictures from a console that runs: `.venv/bin/python docs/screenshots.py`.

CONSOLE_HOME says which console (default: var). Services that the pictures need and that are not there are made, and
deleted afterwards; vLLM must be installed. The chart of usage shows the last hour: let something call for a while.
A preheat is taken only while one is under way: start the console with PREHEAT_MIB_PER_SECOND=10, and preheat a folder
of some hundred MiB. `docs/screenshots.py preheat` takes that one alone.
Needs Chromium on the PATH, or its place in CHROMIUM.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

CHECKOUT = Path(__file__).resolve().parent.parent
IMAGES = CHECKOUT / "docs" / "images"
HOME = Path(os.environ.get("CONSOLE_HOME") or CHECKOUT / "var").expanduser()
WINDOW: ViewportSize = {"width": 1280, "height": 800}
QUESTION = "What is the capital of France?"
PANEL_WINDOW: ViewportSize = {"width": 1280, "height": 860}


def service(name: str, framework: str, model: str, cpu: float, memory: float) -> dict[str, Any]:
    return {
        "name": name,
        "framework": framework,
        "dataset": "samples",
        "model_path": model,
        "queue": "default",
        "resources": {"cpu": cpu, "memory_gib": memory},
    }


OTHERS = [service("tiny-llama", "vllm", "tiny-llama", 1, 1)]


def call(given: dict[str, str], path: str, body: Any = None, method: str = "GET") -> dict[str, Any]:
    """The REST API; {} for an answer without a body, or a service that is not there."""
    request = urllib.request.Request(  # noqa: S310  (the console's own address)
        f"{given['console_url']}/api/v1/{path}",
        json.dumps(body).encode() if body else None,
        method=method,
        headers={"X-API-Key": given["api_key"], "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            row: dict[str, Any] = json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return {}
    return row


@contextmanager
def other_services(given: dict[str, str]) -> Iterator[None]:
    """Those that are there already are used, and stay."""
    bodies = [body for body in OTHERS if not call(given, f"services/{body['name']}/")]
    for body in bodies:
        call(given, "services/", body, "POST")
    try:
        deadline = time.monotonic() + 300
        for body in OTHERS:
            while call(given, f"services/{body['name']}/").get("state") != "READY" and time.monotonic() < deadline:
                time.sleep(0.5)
        yield
    finally:
        for body in bodies:
            call(given, f"services/{body['name']}/", method="DELETE")


def sign_in(page: Page, given: dict[str, str]) -> None:
    page.goto("/login/")
    page.get_by_label("Username").fill(given["username"])
    page.get_by_label("Password").fill(given["password"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


def take(page: Page, name: str) -> None:
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    print(path)  # noqa: T201


def preheat(page: Page, given: dict[str, str]) -> None:
    for dataset in call(given, "datasets/")["results"]:
        for row in call(given, f"datasets/{dataset['name']}/rounds/")["results"]:
            if row["state"] == "COPYING":
                page.goto(f"/datasets/{dataset['name']}/rounds/{row['id']}/")
                page.wait_for_timeout(4000)  # until speeds are known
                take(page, "preheat")
                return
    print("no preheat is under way")  # noqa: T201


def main() -> None:
    given: dict[str, str] = json.loads((HOME / "credentials.json").read_text(encoding="utf-8"))
    IMAGES.mkdir(exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    alone = sys.argv[1:] == ["preheat"]
    with nullcontext() if alone else other_services(given), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(base_url=given["console_url"], viewport=WINDOW, color_scheme="light")
        sign_in(page, given)
        preheat(page, given)
        if alone:
            return
        page.goto(f"/services/{given.get('example', 'example-mnist-isvc')}/")
        take(page, "service")
        chat(page)
        page.goto("/usage/?range=1h")
        take(page, "usage")
        browser.close()


def chat(page: Page) -> None:
    page.set_viewport_size(PANEL_WINDOW)
    page.goto("/services/tiny-llama/test/")
    page.get_by_label("Message", exact=True).fill(QUESTION)
    for _ in range(2):  # the first answer of a fresh replica is a slow one
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#panel-answer")).to_have_attribute("data-ok", "true")
        page.wait_for_timeout(1000)
    take(page, "chat")
    page.set_viewport_size(WINDOW)


if __name__ == "__main__":
    main()
