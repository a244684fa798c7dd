"""Takes the README's pictures from a console that runs: `.venv/bin/python docs/screenshots.py`.

CONSOLE_HOME says which console (default: var). A second service is made for the pictures and deleted after them.
Needs Chromium on the PATH, or its place in CHROMIUM.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

CHECKOUT = Path(__file__).resolve().parent.parent
IMAGES = CHECKOUT / "docs" / "images"
HOME = Path(os.environ.get("CONSOLE_HOME") or CHECKOUT / "var").expanduser()
WINDOW = {"width": 1280, "height": 800}
DIGIT = "0,0,1,11,14,15,3,0,0,1,13,16,12,16,8,0,0,8,16,4,6,16,5,0,0,5,15,11,13,14,0,0,0,0,2,12,16,13,0,0,0,0,0,13,16,16,6,0,0,0,0,16,16,16,7,0,0,0,0,11,13,12,1,0"  # noqa: E501
SECOND = {
    "name": "digits-onnx", "framework": "triton", "dataset": "samples", "model_path": "mnist-onnx", "queue": "default",
    "resources": {"cpu": 0.5, "memory_gib": 0.5},
}  # fmt: skip


def call(given: dict[str, str], path: str, body: Any = None, method: str = "GET") -> dict[str, Any]:
    """The REST API; {} for an answer without a body, or a service that is not there."""
    request = urllib.request.Request(  # noqa: S310  (the console's own address)
        f"{given['console_url']}/api/v1/{path}", json.dumps(body).encode() if body else None, method=method,
        headers={"X-API-Key": given["api_key"], "Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return {}
    return found


@contextmanager
def second_service(given: dict[str, str]) -> Iterator[None]:
    path = f"services/{SECOND['name']}/"
    call(given, "services/", SECOND, "POST")
    try:
        deadline = time.monotonic() + 120
        while call(given, path).get("state") != "READY" and time.monotonic() < deadline:
            time.sleep(0.5)
        yield
    finally:
        call(given, path, method="DELETE")


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


def main() -> None:
    given: dict[str, str] = json.loads((HOME / "credentials.json").read_text(encoding="utf-8"))
    IMAGES.mkdir(exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with second_service(given), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(base_url=given["console_url"], viewport=WINDOW, color_scheme="light")
        sign_in(page, given)
        take(page, "dashboard")
        page.goto(f"/services/{given.get('example', 'example-mnist-isvc')}/")
        take(page, "service")
        page.get_by_role("link", name="Test", exact=True).click()
        page.get_by_role("radio", name="gRPC").check()
        page.get_by_label("Values").first.select_option("text")
        page.get_by_label("Numbers").first.fill(f"[{DIGIT}]")
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#panel-answer")).to_have_attribute("data-ok", "true")
        take(page, "test")
        browser.close()


if __name__ == "__main__":
    main()
