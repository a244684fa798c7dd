"""The chat on the test panel, against the real small language model: the answer appears while it is generated."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from services.gateway import keys
from tests.browser import pages
from tests.integration.live import Live
from tests.servers.vllm import ANSWER, NAME, QUESTION

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live-text")]


def ask(page: Page, protocol: str, question: str = QUESTION) -> None:
    page.get_by_role("radio", name=protocol).check()
    page.get_by_label("Message", exact=True).fill(question)
    page.get_by_role("button", name="Send").click()


@pytest.mark.parametrize("protocol", ["OpenAI", "gRPC (V2 text)"])
def test_a_question_is_answered_while_one_watches(page: Page, live_llm: Live, protocol: str) -> None:
    page.goto(f"/services/{NAME}/test/")
    # Every text that the answer held on its way, to know that it grew.
    page.evaluate("""() => {
      window.seen = [];
      const look = () => {
        const text = document.querySelector("#panel-result [data-said]")?.textContent;
        if (text && text !== window.seen.at(-1)) window.seen.push(text);
      };
      new MutationObserver(look).observe(document.getElementById("panel-result"), { childList: true, subtree: true });
    }""")
    ask(page, protocol)
    answer = page.locator("#panel-answer")
    expect(answer.locator("[data-said]")).to_have_text(ANSWER)
    expect(answer).to_have_attribute("data-ok", "true")
    expect(answer.locator("dl.figures")).to_contain_text(re.compile(r"First token\s*\d+ ms"))
    expect(answer.locator("dl.figures")).to_contain_text("tokens/s")
    seen = page.evaluate("window.seen")
    assert len(seen) > 1 and all(ANSWER.startswith(text.strip()) for text in seen), seen
    words = {"curl": "curl", "python_openai": "OpenAI(", "javascript": "fetch(", "python_grpc": "grpc."}
    for id, word in words.items():
        expect(page.locator(f"#snippet-{id}")).to_contain_text(word)
    expect(page.locator("#panel-history li")).to_have_count(1)
    assert not re.search(keys.PATTERN, page.content()) and live_llm.key not in page.content()


def test_what_the_model_refuses_is_said_with_what_to_do(page: Page, live_llm: Live) -> None:
    page.goto(f"/services/{NAME}/test/")
    page.get_by_label("Max tokens").fill("100000")
    ask(page, "OpenAI")
    expect(page.locator("#panel-answer")).to_have_attribute("data-ok", "false")
    expect(page.locator("#panel-answer")).to_contain_text("fewer")
    page.get_by_label("Max tokens").fill("32")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#panel-answer")).to_have_attribute("data-ok", "true")


def test_without_javascript_the_answer_is_a_page(live_llm: Live, page: Page) -> None:
    """With the cookies of somebody who is signed in."""
    assert page.context.browser is not None
    context = page.context.browser.new_context(
        base_url=live_llm.console, storage_state=page.context.storage_state(), java_script_enabled=False
    )
    try:
        plain = context.new_page()
        plain.goto(f"/services/{NAME}/test/")
        ask(plain, "OpenAI")
        expect(plain.locator("#panel-answer [data-said]")).to_have_text(ANSWER)
        expect(plain.get_by_label("Message", exact=True)).to_have_value(QUESTION)
    finally:
        context.close()


def test_kserve_v1_is_tried_with_the_example_as_it_is(page: Page, live: Live) -> None:
    page.goto("/services/example-mnist-isvc/test/")
    pages.send(page, "KServe V1")
    answer = page.locator("#panel-answer")
    expect(answer).to_have_attribute("data-ok", "true")
    expect(answer.locator("[data-output=predictions]")).to_have_text(re.compile(r"^\d\.0$"))
