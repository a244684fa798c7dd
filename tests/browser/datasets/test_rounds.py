"""A preheat in a real browser: asked for, followed to its end without loading the page again, seen in the store."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.integration.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]


def test_a_preheat_is_followed_to_its_end(page: Page, live: Live) -> None:
    page.goto("/datasets/samples/?path=mnist-onnx")
    page.get_by_role("radio", name="Keep: files that are gone from the source stay").check()
    page.get_by_role("button", name="Preheat this").click()
    page.locator("#rounds").get_by_role("link", name="mnist-onnx").first.click()
    expect(page).to_have_url(re.compile(r"/datasets/samples/rounds/\d+/$"))
    page.evaluate("window.still = true")
    expect(page.locator("#round .badge").first).to_have_text("Done")
    expect(page.locator("#round-files")).to_contain_text("config.pbtxt")
    expect(page.locator("#round-files").get_by_text("Waiting 0")).to_be_visible()
    expect(page.locator("#round")).to_contain_text("Keep: files that are gone from the source stay")
    expect(page.locator("#round")).to_contain_text("are published as")
    assert page.evaluate("window.still"), "the page was loaded again"
    page.locator("#files-there").click()
    expect(page.locator("#round-files tbody tr").first).to_contain_text("Copied")
    page.goto("/store/")
    expect(page.get_by_role("link", name="samples/mnist-onnx").first).to_be_visible()
