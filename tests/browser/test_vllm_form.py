"""A language model from its folder to a service on vLLM, through the form."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from datasets.samples.llama import make as llama
from tests.browser import pages
from tests.integration.live import Live
from tests.servers import vllm

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.xdist_group("live-text")]
NAME = "form-llama"


@pytest.fixture
def sample(live: Live) -> Iterator[None]:
    """The trained model in the sample dataset; a service of it that is left behind is removed."""
    vllm.sample_model()
    llama.publish(vllm.runtime_root(), live.stack.home.samples)
    yield
    if live.api(f"services/{NAME}/").status == 200:
        live.delete(NAME)


def test_choosing_a_framework_shows_its_fields_and_reads_the_files_again(page: Page, sample: None) -> None:
    page.goto("/services/new/?dataset=samples&path=mnist-svm")
    expect(page.get_by_role("heading", name="Triton configuration")).to_be_visible()
    expect(page.get_by_role("heading", name="vLLM configuration")).to_be_hidden()
    page.get_by_role("radio", name="vLLM").check()
    expect(page.get_by_role("heading", name="Triton configuration")).to_be_hidden()
    expect(page.get_by_label("Max model length")).to_be_visible()
    expect(page.get_by_text("This is for Triton: choose that framework above.")).to_be_visible()
    pages.browse_to(page, "samples", vllm.NAME)
    expect(page.get_by_label("Model files")).to_contain_text("LlamaForCausalLM")
    expect(page.get_by_label("Task")).to_have_value("chat")
    expect(page.get_by_label("Max model length")).not_to_have_value("")
    expect(page.get_by_text("Can be served as is.")).to_be_visible()


@pytest.mark.usefixtures("cordoned")
def test_a_language_model_is_made_with_an_adapter_and_what_is_wrong_is_said_beside_its_field(
    page: Page, live: Live, sample: None
) -> None:
    page.goto(f"/services/new/?dataset=samples&path={vllm.NAME}")
    expect(page.get_by_role("radio", name="vLLM")).to_be_checked()  # such a folder is for it
    pages.name_it(page, NAME)
    pages.claim(page, "0.3", "1")
    adapters = page.get_by_role("group", name="LoRA modules")
    adapters.get_by_label("name").fill(vllm.ADAPTER)
    adapters.get_by_label("path").fill("../elsewhere")
    page.get_by_label("Max model length").fill("0")
    page.get_by_label("Extra arguments").fill("--host=0.0.0.0")
    page.get_by_label("Header for the key").fill("content-type")
    page.get_by_label("Requests at once").fill("0")
    page.get_by_role("button", name="Create service").click()
    expect(page.get_by_role("alert").filter(has_text="The service was not created")).to_be_visible()
    for label in ("Max model length", "Extra arguments", "Header for the key", "Requests at once"):
        expect(page.get_by_label(label)).to_have_attribute("aria-invalid", "true")
    expect(adapters.get_by_label("path").first).to_have_attribute("aria-invalid", "true")
    assert live.api(f"services/{NAME}/").status == 404

    adapters.get_by_label("path").first.fill(f"adapters/{vllm.ADAPTER}")
    page.get_by_label("Max model length").fill("128")
    page.get_by_label("Extra arguments").fill("--max-num-seqs=4")
    page.get_by_label("Header for the key").fill("x-tenant-key")
    page.get_by_label("Requests at once").fill("4")
    page.get_by_role("button", name="Create service").click()
    expect(page.get_by_text(f"{NAME} was created.")).to_be_visible()
    service = live.service(NAME)
    assert service["framework_config"] == {
        "max_model_len": 128,
        "extra_args": ["--max-num-seqs=4"],
        "lora_modules": [{"name": vllm.ADAPTER, "path": f"adapters/{vllm.ADAPTER}"}],
    }
    assert service["auth"]["header"] == "x-tenant-key" and service["limits"]["concurrency"] == 4
