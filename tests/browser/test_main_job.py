"""From signing in to an answer, by clicking; and the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from console.first_run import example
from services.gateway import keys
from tests.browser import pages
from tests.integration.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]
NAME = "br-digits"


@pytest.fixture
def after(live: Live) -> Iterator[None]:
    """What the form made goes; no other test uses its name, so none has to wait for that."""
    yield
    live.api(f"services/{NAME}/", method="DELETE")


def test_a_service_made_by_form_gets_ready_and_answers_8_over_http_and_grpc(
    stranger: Page, live: Live, after: None
) -> None:
    page = stranger
    pages.sign_in(page, live)
    page.get_by_role("link", name="New service").click()
    the_name_is_checked_while_it_is_typed(page)
    pages.browse_to(page, "samples", "mnist-onnx")
    expect(page.get_by_text("Can be served as is.")).to_be_visible()
    pages.claim(page, "0.5", "0.5")
    expect(page.locator("#placement")).to_contain_text("fits")
    page.get_by_role("button", name="Create service").click()
    expect(page.get_by_text(f"{NAME} was created.")).to_be_visible()
    pages.wait_until_ready(page, NAME)

    page.get_by_role("link", name="Test", exact=True).click()
    pages.fill_input(page, str(example.PIXELS))
    for protocol in ("HTTP", "gRPC"):
        pages.send(page, protocol)
        it_answered_8(page, protocol)
        the_same_call_is_given(page)
        assert not re.search(keys.PATTERN, page.content())
        assert live.key not in page.content()
    expect(page.locator("#panel-history li")).to_have_count(2)


def the_name_is_checked_while_it_is_typed(page: Page) -> None:
    hint = page.locator("#name-said")
    pages.name_it(page, "Not A Name")
    expect(hint.locator(".errors")).to_contain_text("lower-case letters")
    pages.name_it(page, example.NAME)
    expect(hint.locator(".errors")).to_contain_text("already a service named")
    pages.name_it(page, NAME)
    expect(hint).to_have_text(f"{NAME} is free.")


def it_answered_8(page: Page, protocol: str) -> None:
    answer = page.locator("#panel-answer")
    expect(answer).to_have_attribute("data-summary", re.compile(protocol, re.IGNORECASE))
    expect(answer).to_have_attribute("data-ok", "true")
    expect(answer.locator("[data-output=label]")).to_have_text("[8]")
    expect(answer.locator("[data-output=probabilities]")).to_be_visible()
    steps = answer.locator("dl.facts dt").all_text_contents()
    assert steps[:4] == ["Build the request", "Connect", "Send and wait", "Read the answer"]
    assert all(re.match(r"\d+(\.\d+)? ms", text.strip()) for text in answer.locator("dl.facts dd").all_text_contents())


def the_same_call_is_given(page: Page) -> None:
    for id, word in (
        ("curl", "curl"),
        ("python_http", "tritonclient.http"),
        ("python_grpc", "tritonclient.grpc"),
        ("grpcurl", "grpcurl"),
    ):
        expect(page.locator(f"#snippet-{id}")).to_contain_text(word)
        expect(page.locator(f"#snippet-{id}")).to_contain_text("API_KEY")


@pytest.mark.usefixtures("cordoned")
def test_a_service_is_deleted_once_its_name_is_typed(page: Page, live: Live) -> None:
    name = "br-doomed"
    live.create(name, "echo")
    page.goto(f"/services/{name}/")
    page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog", name="Delete this service?")
    button = dialog.get_by_role("button", name="Delete service")
    dialog.get_by_role("textbox").fill("br-doome")
    expect(button).to_be_disabled()
    dialog.get_by_role("textbox").fill(name)
    button.click()
    expect(page).to_have_url(f"{live.console}/services/")
    expect(page.get_by_role("cell", name=name)).to_be_hidden(timeout=pages.START_MS)
    assert live.api(f"services/{name}/").status == 404
