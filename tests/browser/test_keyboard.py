"""Without a mouse: everything can be reached with Tab, and where one is can be seen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser import pages
from tests.integration.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]
FOCUS = """() => {
  const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
  return {
    name: element.name || element.id || element.textContent.trim(),
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1 || style.boxShadow !== "none",
    seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
}"""
MOST = 150
"""Stops on the longest page: who tabs further goes in circles."""


def tab_to(page: Page, name: str) -> list[str]:
    """Press Tab until `name` has the focus; every stop on the way must be visible. Returns the stops."""
    stops: list[str] = []
    while len(stops) < MOST:
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        stops.append(focus["name"])
        assert focus["ring"], f"{focus['name']} does not show that it has the focus"
        assert focus["seen"], f"{focus['name']} has the focus and is outside the window"
        if focus["name"] == name:
            return stops
    raise AssertionError(f"{name} cannot be reached with Tab; passed {stops}")


def test_one_signs_in_without_a_mouse(stranger: Page, live: Live) -> None:
    stranger.goto("/login/")
    for name in ("username", "password"):
        if stranger.evaluate(FOCUS)["name"] != name:  # the first field may have it from the start
            tab_to(stranger, name)
        stranger.keyboard.type(live.credentials[name])
    stranger.keyboard.press("Enter")
    expect(stranger.get_by_role("heading", name="Dashboard")).to_be_visible()


def test_the_first_stop_skips_the_navigation(page: Page) -> None:
    page.goto("/services/")
    tab_to(page, "Skip to the content")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


@pytest.mark.usefixtures("cordoned")
def test_a_service_is_made_without_a_mouse(page: Page, live: Live) -> None:
    name = "br-keys"
    page.goto("/services/new/")
    tab_to(page, "name")
    page.keyboard.type(name)
    tab_to(page, "dataset")
    page.keyboard.type("samples")
    expect(page.get_by_label("Entries of the folder")).to_be_visible()
    tab_to(page, "echo")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Model path")).to_have_value("echo")
    expect(page.locator("#source a:focus")).to_have_text("echo")  # the folder that was opened, not the top of the page
    tab_to(page, "resources.cpu")
    page.keyboard.type("0.5")
    tab_to(page, "submit")
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{name} was created.")).to_be_visible(timeout=pages.START_MS)
    live.delete(name)
