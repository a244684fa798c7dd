"""A real Chromium in front of the running stack. Every page is watched: no script error, no request elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect

from tests.browser.chromium import Watch, launch
from tests.browser.pages import sign_in
from tests.integration.live import Live

PATIENCE = 60_000
"""Milliseconds that a page may take on a busy machine; passing tests do not wait for it."""
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with launch() as browser:
        yield browser


@pytest.fixture(scope="package")
def signed_in(browser: Browser, live: Live) -> StorageState:
    """The cookies of somebody who used the login page."""
    context = browser.new_context(base_url=live.console)
    context.set_default_timeout(PATIENCE)
    sign_in(context.new_page(), live)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def context(browser: Browser, signed_in: StorageState, live: Live) -> Iterator[BrowserContext]:
    opened = browser.new_context(base_url=live.console, storage_state=signed_in, permissions=["clipboard-read"])
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Checked when the test is over."""
    watch = Watch()
    yield watch
    assert watch.errors == []
    assert watch.elsewhere == []


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Page:
    """A page of somebody who is signed in."""
    page = context.new_page()
    watch.follow(page)
    return page


@pytest.fixture
def stranger(browser: Browser, live: Live, watch: Watch) -> Iterator[Page]:
    """A page of somebody who is not."""
    context = browser.new_context(base_url=live.console)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    watch.follow(page)
    yield page
    context.close()


@pytest.fixture
def cordoned(live: Live) -> Iterator[None]:
    """Services that are made meanwhile wait for a node, instead of starting a server that no test calls."""
    [node] = live.api("nodes/").body["results"]

    def cordon(schedulable: bool) -> None:
        answer = live.api(f"nodes/{node['name']}/", {"schedulable": schedulable}, method="PATCH")
        assert answer.status == 200, answer.body

    cordon(schedulable=False)
    yield
    cordon(schedulable=True)
