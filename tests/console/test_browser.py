"""What console.js does, in a real Chromium: live regions, dialogs, copying, the menu, the console being away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from console.errors import Conflict
from console.models import Membership, Team
from datasets.models import Dataset, Round

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def context(
    live_server: LiveServer, alice: User, client_of: Callable[[User | None], Client], monkeypatch: pytest.MonkeyPatch
) -> Iterator[BrowserContext]:
    """Alice is signed in. Playwright runs a loop in this thread, and Django would refuse the database then."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    session = client_of(alice).cookies[settings.SESSION_COOKIE_NAME].value
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        browser_context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        browser_context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        browser_context.set_default_timeout(10_000)
        yield browser_context
        browser.close()


@pytest.fixture
def page(context: BrowserContext, live_server: LiveServer) -> Iterator[Page]:
    """Fails the test when a script of the page did."""
    errors: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    assert errors == []


@pytest.fixture
def copying(team: Team) -> Round:
    dataset = Dataset.objects.create(team=team, name="models", kind="local", created_by="alice")
    return Round.objects.create(
        dataset=dataset, node="local", state="COPYING", files_total=2, bytes_total=4 << 20, bytes_done=1 << 20
    )


def test_progress_moves_by_itself_and_the_focus_stays(page: Page, copying: Round, live_server: LiveServer) -> None:
    page.goto(live_server.url + reverse("dataset", args=["models"]))
    button = page.locator(f"#cancel-{copying.pk}")
    button.focus()
    expect(page.get_by_text("1.0 MiB of 4.0 MiB")).to_be_visible()
    Round.objects.update(bytes_done=3 << 20)
    expect(page.get_by_text("3.0 MiB of 4.0 MiB")).to_be_visible()
    expect(button).to_be_focused()
    Round.objects.update(state="DONE")
    expect(page.locator("#rounds")).to_have_attribute("hx-trigger", "every 5s")


def test_a_name_has_to_be_typed_before_something_is_deleted(
    page: Page, copying: Round, live_server: LiveServer
) -> None:
    page.goto(live_server.url + reverse("dataset", args=["models"]))
    page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog")
    submit = dialog.get_by_role("button", name="Delete the dataset")
    expect(submit).to_be_disabled()
    dialog.get_by_label("Type").fill("model")
    expect(submit).to_be_disabled()
    dialog.get_by_label("Type").fill("models")
    expect(submit).to_be_enabled()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_password_that_is_shown_once_can_be_copied(
    page: Page, admin: User, alice: User, live_server: LiveServer
) -> None:
    User.objects.filter(pk=alice.pk).update(is_superuser=True)
    page.goto(live_server.url + reverse("teams"))
    page.get_by_label("Username").fill("dora")
    page.get_by_role("button", name="Create the account").click()
    page.locator("[data-copy=new-password]").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#new-password").text_content()


def test_the_menu_opens_on_a_phone_and_nothing_is_wider_than_it(
    page: Page, copying: Round, live_server: LiveServer
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for address in ("/", "/datasets/?new", "/datasets/models/", "/queues/", "/nodes/", "/keys/?new", "/teams/vision/"):
        page.goto(live_server.url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
    menu = page.get_by_role("button", name="Menu")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    menu.click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    expect(menu).to_have_attribute("aria-expanded", "true")


def test_it_is_said_when_the_console_does_not_answer_and_when_it_does_again(
    page: Page, context: BrowserContext, live_server: LiveServer
) -> None:
    page.goto(live_server.url)
    context.set_offline(True)
    expect(page.locator("#offline")).to_be_visible()
    context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden()


def test_when_the_session_ends_the_page_goes_to_the_login(
    page: Page, context: BrowserContext, live_server: LiveServer
) -> None:
    page.goto(live_server.url)
    context.clear_cookies()
    page.wait_for_url(re.compile(r"/login/\?next=/$"))


def test_a_poll_of_what_one_can_no_longer_see_is_the_last(
    page: Page, copying: Round, alice: User, live_server: LiveServer
) -> None:
    page.goto(live_server.url + reverse("dataset", args=["models"]))
    Membership.objects.filter(user=alice).delete()
    expect(page.locator("#gone")).to_contain_text("you can no longer see it")
    expect(page.locator("#rounds")).to_be_visible()


def test_an_error_of_a_poll_is_shown_in_place(
    page: Page, copying: Round, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto(live_server.url + reverse("dataset", args=["models"]))
    monkeypatch.setattr("datasets.views.datasets._frame", Mock(side_effect=Conflict("The rounds cannot be read now.")))
    expect(page.locator("#flash")).to_contain_text("The rounds cannot be read now.")
    expect(page.locator("#rounds")).to_be_visible()
