"""Every page: fits a phone, says nothing to the console of the browser, asks nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect

from console.first_run import example
from tests.browser import pages
from tests.browser.chromium import Watch
from tests.browser.conftest import PATIENCE
from tests.integration.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]
SERVICE = f"/services/{example.NAME}"
PAGES = [
    "/",
    "/services/",
    "/services/new/",
    "/services/new/?dataset=samples&path=mnist-onnx",
    f"{SERVICE}/",
    f"{SERVICE}/test/",
    f"{SERVICE}/access/",
    f"{SERVICE}/logs/",
    f"{SERVICE}/events/",
    f"{SERVICE}/revisions/",
    f"{SERVICE}/edit/",
    "/datasets/",
    "/datasets/?new",
    "/datasets/?new&kind=nfs",
    "/datasets/samples/",
    "/datasets/samples/edit/",
    "/datasets/samples/?path=mnist-svm",
    "/datasets/samples/rounds/1/",
    "/store/",
    "/queues/",
    "/queues/default/",
    "/nodes/",
    "/nodes/local/",
    "/keys/",
    "/keys/?new",
    "/usage/",
    "/usage/?metric=latency&by=key",
    "/teams/",
    "/teams/default/",
    "/password/",
    "/api/v1/docs/",
    "/no-such-page/",
]
WIDTH = 360
Scheme = Literal["light", "dark"]
WIDEST = """() => [...document.querySelectorAll("body *")]
  .filter((found) => found.getBoundingClientRect().right > innerWidth && !found.closest(".table-wrap, pre, .tabs"))
  .slice(0, 3).map((element) => `${element.tagName}.${element.className} ${element.textContent.trim().slice(0, 40)}`)"""
"""What sticks out, apart from what scrolls in a frame of its own: for the message of a test that fails."""


@pytest.fixture
def phone(browser: Browser, signed_in: StorageState, live: Live, watch: Watch) -> Iterator[Callable[[Scheme], Page]]:
    """A page 360 px wide, in light or dark."""
    contexts: list[BrowserContext] = []

    def make(scheme: Scheme) -> Page:
        context = browser.new_context(
            base_url=live.console,
            storage_state=signed_in,
            color_scheme=scheme,
            viewport={"width": WIDTH, "height": 740},
            has_touch=True,
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch.follow(page)
        return page

    yield make
    for context in contexts:
        context.close()


def test_no_page_is_wider_than_its_window(phone: Callable[[Scheme], Page], watch: Watch) -> None:
    """Neither as it comes, nor when all that is folded is opened: a line of code scrolls in its own frame."""
    page, wide = phone("light"), []
    for address in PAGES:
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == (404 if address == "/no-such-page/" else 200), address
        wide += sticking_out(page, address)
        if address == "/no-such-page/" or address.startswith("/api/"):
            continue
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        for width in (1440, WIDTH):
            page.set_viewport_size({"width": width, "height": 740})
            wide += sticking_out(page, address)
    assert wide == []
    watch.errors = [error for error in watch.errors if "/no-such-page/" not in error]  # its 404 counts as one
    assert len(watch.urls) > len(PAGES)


def sticking_out(page: Page, address: str) -> list[Any]:
    if page.evaluate("document.scrollingElement.scrollWidth > innerWidth"):
        return [(address, page.evaluate(WIDEST))]
    return []


@pytest.mark.usefixtures("cordoned")
def test_a_page_says_once_that_its_service_was_deleted_and_asks_no_more(page: Page, live: Live) -> None:
    """The 404 of each further poll would be an error in the log of the browser, which the fixture `watch` notes."""
    live.create("soon-gone", "echo", resources={"cpu": 0.1, "memory_gib": 0.1})
    page.goto("/services/soon-gone/")
    live.delete("soon-gone")
    expect(page.get_by_text("This was deleted, or you can no longer see it.")).to_have_count(1)
    expect(page.locator("#gone")).to_be_visible()
    expect(page.get_by_role("heading", name="soon-gone")).to_be_visible()  # its last state stays


def test_messages_and_answers_fit_a_phone_too(phone: Callable[[Scheme], Page]) -> None:
    page = phone("light")
    page.goto("/services/new/?dataset=samples&path=mnist-onnx")
    page.get_by_role("button", name="Create service").click()
    expect(page.get_by_text("The service was not created")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= WIDTH
    page.goto(f"{SERVICE}/test/")
    pages.fill_input(page, str(example.PIXELS))
    pages.send(page, "HTTP")
    expect(page.locator("#panel-answer")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= WIDTH


def test_the_login_fits_a_phone(stranger: Page) -> None:
    stranger.set_viewport_size({"width": WIDTH, "height": 740})
    stranger.goto("/")
    expect(stranger.get_by_role("button", name="Sign in")).to_be_in_viewport()
    assert stranger.evaluate("document.scrollingElement.scrollWidth") <= WIDTH


def test_dark_is_dark_and_light_is_light(phone: Callable[[Scheme], Page]) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        page = phone(scheme)
        page.goto("/")
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades[scheme] = sum(int(part) for part in colour.strip("rgb()").split(",")[:3]) / 3
    assert shades["light"] > 200
    assert shades["dark"] < 60


def test_times_in_words_go_on_while_a_page_is_open(page: Page) -> None:
    page.clock.install()
    page.goto("/keys/")
    page.evaluate("""() => { const time = document.createElement("time");
      time.setAttribute("datetime", new Date(document.body.dataset.now * 1000 - 100_000).toISOString());
      time.dataset.ago = ""; time.id = "mine"; document.body.append(time); }""")  # no poll brings it anew
    for passed, words in ((6, "1 min ago"), (20, "2 min ago"), (3 * 3600, "3 h ago")):
        page.clock.run_for(passed * 1000)
        expect(page.locator("#mine")).to_have_text(words)


def test_a_time_in_words_says_when_exactly(page: Page) -> None:
    page.goto(f"{SERVICE}/")
    time = page.locator("time[data-ago]").first
    expect(time).to_have_attribute("datetime", re.compile(r"^20\d\d-"))
    expect(time).to_have_attribute("title", re.compile(r"^20\d\d-"))
