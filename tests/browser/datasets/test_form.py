"""The form of a dataset in a real browser: the fields of a kind come when it is chosen, and are tried unsaved."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.integration.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]


def test_a_kind_is_chosen_tried_corrected_and_saved(page: Page, live: Live) -> None:
    page.goto("/datasets/?new")
    page.get_by_role("textbox", name="Name", exact=True).fill("from-a-nas")
    expect(page.get_by_role("textbox", name="Directory", exact=True)).to_be_visible()
    page.get_by_role("radio", name="NFS export").check()
    expect(page.get_by_role("textbox", name="Mount options")).to_be_visible()
    expect(page.get_by_role("textbox", name="Directory", exact=True)).to_have_count(0)
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("from-a-nas")
    page.get_by_role("textbox", name="Server", exact=True).fill("nas.example.org")
    page.get_by_role("textbox", name="Export", exact=True).fill("/srv/models")
    page.get_by_role("textbox", name="Mounted at").fill("/etc")
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator('[id="id_options.path_error"]')).to_contain_text("DATASET_ROOTS")
    expect(page.locator("#looked")).to_contain_text("Connection test failed. Mounted at: ")
    page.get_by_role("textbox", name="Mounted at").fill(str(live.stack.home.samples))
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator("#looked")).to_contain_text("is not an NFS mount here; it is read as a plain directory.")
    expect(page.locator('[id="id_options.path_error"]')).to_be_hidden()
    assert page.url.endswith("/datasets/?new")  # nothing was sent by the form itself
    page.get_by_role("button", name="Create the dataset").click()
    expect(page.get_by_role("heading", name="from-a-nas")).to_be_visible()
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator("#looked")).to_contain_text("is read as a plain directory.")
    page.get_by_role("link", name="mnist-svm/").click()
    expect(page.get_by_text("A Triton model (python)")).to_be_visible()
