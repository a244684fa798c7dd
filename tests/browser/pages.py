"""What a person does on the pages, in the words that are on them."""

from __future__ import annotations

import re
from typing import Final

from playwright.sync_api import Page, expect

from tests.integration.live import Live

START_MS: Final = 240_000
"""How long Triton may take on a busy machine."""


def sign_in(page: Page, live: Live) -> None:
    page.goto("/login/")
    page.get_by_label("Username").fill(live.credentials["username"])
    page.get_by_label("Password").fill(live.credentials["password"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


def browse_to(page: Page, dataset: str, folder: str) -> None:
    """In the form of a new service: choose the dataset, go into one of its folders."""
    page.get_by_label("Dataset").select_option(dataset)
    page.get_by_label("Entries of the folder").get_by_role("link", name=folder, exact=True).click()
    expect(page.get_by_label("Model path")).to_have_value(folder)


def claim(page: Page, cpu: str, memory: str) -> None:
    page.get_by_label("CPUs").fill(cpu)
    page.get_by_label("Memory, GiB").fill(memory)


def name_it(page: Page, name: str) -> None:
    """As typed: the page asks whether the name is free while one types."""
    field = page.get_by_label("Name", exact=True)
    field.fill("")
    field.press_sequentially(name)


def wait_until_ready(page: Page, name: str) -> None:
    """On the service's page, without loading it again."""
    page.evaluate("window.still = true")
    expect(page.locator("#status .badge").first).to_have_text("Ready", timeout=START_MS)
    assert page.evaluate("window.still"), "the page was loaded again"
    expect(page).to_have_url(re.compile(f"/services/{name}/$"))


def fill_input(page: Page, values: str) -> None:
    """In the test panel, the first input."""
    page.get_by_label("Values").first.select_option("text")
    page.get_by_label("Numbers").first.fill(values)


def send(page: Page, protocol: str) -> None:
    page.get_by_role("radio", name=protocol, exact=True).check()
    page.get_by_role("button", name="Send").click()
