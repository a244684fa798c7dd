"""What the form of a service does while it is filled in, on a line that is slow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live")]


def test_a_path_that_is_being_typed_survives_an_answer_that_comes_late(page: Page) -> None:
    held: list[Route] = []
    page.goto("/services/new/")
    page.route("**/services/new/browse/**", lambda route: held.append(route))
    with page.expect_request("**/services/new/browse/**"):
        page.get_by_label("Dataset").select_option("samples")
    path = page.get_by_label("Model path")
    path.press_sequentially("ec")
    with page.expect_response("**/services/new/browse/**"):
        held[0].continue_()
    page.unroute("**/services/new/browse/**")
    path.press_sequentially("ho")
    page.get_by_label("CPUs").focus()  # leaving the field asks again
    expect(page.get_by_text("Can be served as is.")).to_be_visible()
    expect(path).to_have_value("echo")


def test_rows_come_and_go(page: Page) -> None:
    page.goto("/services/new/")
    variables = page.get_by_role("group", name="Variables of the process")
    names = variables.get_by_label("name")
    expect(names).to_have_count(1)
    variables.get_by_role("button", name="Add a variable").click()
    expect(names).to_have_count(2)
    expect(names.nth(1)).to_be_focused()
    variables.get_by_role("button", name="Remove this row").first.click()
    expect(names).to_have_count(1)
    expect(variables.get_by_role("button", name="Add a variable")).to_be_focused()


def test_the_model_that_callers_call_is_chosen_and_its_tensors_are_shown(page: Page) -> None:
    page.goto("/services/new/?dataset=samples")
    chosen = page.get_by_label("Model that callers call")
    expect(page.get_by_text("name the model that callers call in the option model")).to_be_visible()
    chosen.select_option("echo")
    expect(page.get_by_text("Can be served as is.")).to_be_visible()
    expect(page.get_by_role("list").filter(has_text="Callers call it, under the name of the service.")).to_be_visible()
    expect(page.get_by_role("group", name="Inputs").get_by_label("name").first).to_have_value("IN")
    chosen.select_option("mnist-onnx")
    expect(page.get_by_role("group", name="Inputs").get_by_label("name").first).to_have_value("predict")
    expect(chosen).to_have_value("mnist-onnx")
