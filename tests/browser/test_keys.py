"""The life of an API key, from its form to the gateway's 401."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from services.gateway import keys
from tests.integration.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]
NAME = "browser test"


def test_a_key_is_shown_once_opens_the_gateway_and_stops_when_it_is_revoked(page: Page, live: Live) -> None:
    key = make_key(page)
    assert re.fullmatch(keys.PATTERN, key)
    live.until(lambda: live.infer(key=key).status, lambda status: status == 200)

    page.get_by_role("link", name="API keys").click()
    row = page.get_by_role("row").filter(has_text=keys.parse(key) or "")
    expect(row).to_contain_text("Active")
    assert key not in page.content()

    row.get_by_role("button", name=f"Revoke {NAME}").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_text(f"Key {NAME} was revoked.")).to_be_visible()
    expect(row).to_contain_text("Revoked")
    live.until(lambda: live.infer(key=key).status, lambda status: status == 401)


def make_key(page: Page) -> str:
    page.goto("/keys/")
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", name="copy it now")).to_be_visible()
    return page.locator("#new-key").inner_text().strip()
