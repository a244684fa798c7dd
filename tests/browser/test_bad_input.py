"""What is wrong is said where it was typed, and nothing is half-made."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from console.first_run import example
from tests.browser import pages
from tests.integration.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]


def test_every_wrong_field_of_a_new_service_has_its_message(page: Page, live: Live) -> None:
    page.goto("/services/new/")
    pages.name_it(page, example.NAME)
    page.get_by_label("Dataset").select_option("samples")
    expect(page.get_by_label("Entries of the folder")).to_be_visible()
    page.get_by_label("Model path").fill("../../etc")
    page.get_by_label("Replicas").fill("0")
    page.get_by_role("button", name="Create service").click()
    expect(page.get_by_role("alert").filter(has_text="The service was not created")).to_be_visible()
    for label in ("Model path", "Replicas"):
        expect(page.get_by_label(label)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Model path")).to_have_value("../../etc")  # what was typed is kept


def test_a_name_in_use_and_a_claim_that_no_quota_can_hold_are_refused_at_their_fields(page: Page, live: Live) -> None:
    page.goto("/services/new/?dataset=samples&path=echo")
    pages.name_it(page, example.NAME)
    pages.claim(page, "900", "1")
    page.get_by_role("button", name="Create service").click()
    expect(page.locator("#name-said .errors")).to_contain_text("already a service named")
    expect(page.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
    queue = page.locator(".field").filter(has=page.get_by_label("Queue"))
    expect(queue.locator(".errors")).to_contain_text("900")
    assert live.service(example.NAME)["state"] == "READY"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ('{"inputs": [', "JSON"),
        ("1, 2, 3", "64"),
        (str(["one"] + [0] * 63).replace("'", '"'), "FP32"),
    ],
    ids=["not JSON", "a wrong shape", "a wrong datatype"],
)
def test_the_test_panel_says_what_is_wrong_beside_the_input(page: Page, typed: str, message: str) -> None:
    page.goto(f"/services/{example.NAME}/test/")
    pages.fill_input(page, typed)
    pages.send(page, "HTTP")
    expect(page.locator("#panel-form fieldset .errors").first).to_contain_text(message)
    expect(page.locator("#panel-result").get_by_role("alert")).to_contain_text("Not sent")
    expect(page.get_by_label("Numbers")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Numbers")).to_have_value(typed)


def test_a_wrong_password_is_refused_in_words(stranger: Page) -> None:
    stranger.goto("/services/")
    stranger.get_by_label("Username").fill("admin")
    stranger.get_by_label("Password").fill("not the password")
    stranger.get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_role("alert")).to_contain_text("correct username and password")
