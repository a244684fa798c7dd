"""Headers and limits of a service and of a key, from their forms to the pages that show them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import pages
from tests.integration.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]
NAME = "guarded-echo"


@pytest.fixture
def removed(live: Live) -> Iterator[None]:
    yield
    if live.api(f"services/{NAME}/").status == 200:
        live.delete(NAME)


PAGES = "Web pages that may call it"


def fill_limits(page: Page, header: str, limit: str, origin: str) -> None:
    page.get_by_label(PAGES).fill(origin)
    page.get_by_label("Header for the key").fill(header)
    row = page.get_by_role("group", name="Required headers")
    row.get_by_label("name").fill("x-tenant")
    row.get_by_label("value").fill("blue")
    page.get_by_label("Requests at once").fill(limit)


@pytest.mark.usefixtures("cordoned")
def test_a_header_of_its_own_and_limits_are_said_in_the_form_and_shown_with_the_service(
    page: Page, live: Live, removed: None
) -> None:
    page.goto("/services/new/?dataset=samples&path=echo")
    pages.name_it(page, NAME)
    pages.claim(page, "0.1", "0.2")
    fill_limits(page, "Host", "0", "https://app.example/page")
    page.get_by_role("button", name="Create service").click()
    expect(page.get_by_role("alert").filter(has_text="The service was not created")).to_be_visible()
    for label, text in (
        ("Header for the key", "a meaning of its own"),
        ("Requests at once", "from 1 to 4096"),
        (PAGES, "the origin of a page as browsers send it"),
    ):
        field = page.get_by_label(label)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.locator(".field").filter(has=field).locator(".errors")).to_contain_text(text)
    expect(page.get_by_role("group", name="Required headers").get_by_label("value").first).to_have_value("blue")

    page.get_by_label("Header for the key").fill("X-Tenant-Key")
    page.get_by_label("Requests at once").fill("3")
    page.get_by_label(PAGES).fill("https://App.example, http://localhost:3000")
    page.get_by_role("button", name="Create service").click()
    expect(page.get_by_text(f"{NAME} was created.")).to_be_visible()
    configuration = page.locator(".card").filter(has=page.get_by_role("heading", name="Configuration"))
    expect(configuration).to_contain_text("x-tenant-key")
    expect(configuration).to_contain_text("x-tenant: blue")
    expect(configuration).to_contain_text("3 requests at once")
    expect(configuration).to_contain_text("https://app.example")
    service = live.service(NAME)
    assert service["cors"] == {"allowed_origins": ["https://app.example", "http://localhost:3000"]}
    assert (
        service["auth"]["parameters"] == [{"name": "x-tenant", "value": "blue"}]
        and service["limits"]["concurrency"] == 3
    )


@pytest.mark.usefixtures("cordoned")
def test_an_edit_from_an_old_page_is_refused_in_words(page: Page, live: Live, removed: None) -> None:
    live.create(NAME, "echo", resources={"cpu": 0.1, "memory_gib": 0.2})
    page.goto(f"/services/{NAME}/edit/")
    answer = live.api(f"services/{NAME}/", {"env": {"WHO": "theirs"}}, method="PATCH")
    assert answer.body["revision"] == 2
    page.get_by_label("Requests at once").fill("5")
    page.get_by_role("button", name="Save as a new revision").click()
    expect(page.get_by_role("alert")).to_contain_text("saved revision 2 after you had opened revision 1")
    expect(page.get_by_label("Requests at once")).to_have_value("5")
    assert live.service(NAME)["revision"] == 2


def test_the_limits_of_a_key_are_shown_with_it(page: Page) -> None:
    page.goto("/keys/?new")
    page.get_by_label("Name", exact=True).fill("limited")
    page.get_by_label("Requests a minute").fill("60")
    page.get_by_label("Tokens a minute").fill("9000")
    page.get_by_label("Requests at once").fill("4")
    page.get_by_role("button", name="Create key").click()
    row = page.get_by_role("row").filter(has_text="limited")
    for text in ("60 a minute", "9000 tokens a minute", "4 at once"):
        expect(row.first).to_contain_text(text)
