"""The form of a vLLM service: what its files fill in, what it refuses and where, and what it makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from console.accounts.principal import Principal
from console.models import Membership
from services import forms
from services.frameworks.vllm.framework import Vllm
from services.models import Service
from tests.services import llama_folder
from tests.services.test_forms import post_of
from tests.services.world import World

NEW = "service-new"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real runtime is used in tests/integration; no process is started here."""
    monkeypatch.setattr(Vllm, "missing", lambda self, runtime: "")


@pytest.fixture
def browser(alice: User, client_of: Callable[[User | None], Client]) -> Client:
    return client_of(alice)


@pytest.fixture
def llama(dataset: Any) -> Path:
    return llama_folder.write(Path(dataset.options["path"]) / "llama")


@pytest.fixture
def filled(world: World, llama: Path, dataset: Any) -> QueryDict:
    """The form as a person fills it in for the folder `llama`, with what the page filled in itself."""
    sent = post_of(forms.blank(name="llama", team="vision", dataset=dataset.name, model_path="llama", framework="vllm"))
    for name, read in (("task", "chat"), ("max_model_len", "2048")):
        sent[f"framework_config.{name}"] = sent[f"framework_config.{name}.read"] = read
    return sent


def send(browser: Client, filled: QueryDict, **changes: str | list[str]) -> Any:
    for name, value in changes.items():
        filled.setlist(f"framework_config.{name}".replace("__", "."), [value] if isinstance(value, str) else value)
    return browser.post(reverse(NEW), filled.urlencode(), content_type="application/x-www-form-urlencoded")


def test_what_the_files_say_is_shown_and_filled_in(browser: Client, llama: Path, dataset: Any, queue: Any) -> None:
    query = {"dataset": dataset.name, "model_path": "llama", "framework": "vllm"}
    text = browser.get(reverse("service-model"), query).content.decode()
    assert "LlamaForCausalLM" in text and "786.4 K" in text and "2048 tokens" in text and "GiB" in text
    assert '<option value="chat" selected>' in text and "Can be served as is." in text
    assert 'name="framework_config.task.read" value="chat"' in text
    assert 'name="framework_config.max_model_len.read" value="2048"' in text
    page = browser.get(reverse(NEW), {"dataset": dataset.name, "path": "llama", "framework": "vllm"}).content.decode()
    assert 'value="vllm" checked' in page and 'name="framework_config.max_model_len.read" value="2048"' in page


def test_a_folder_is_read_by_the_framework_that_is_chosen(browser: Client, llama: Path, dataset: Any) -> None:
    url, query = reverse("service-browse"), {"dataset": dataset.name, "path": "llama"}
    assert "<dt>Architecture</dt>" in browser.get(url, {**query, "framework": "vllm"}).content.decode()
    assert "<dt>Architecture</dt>" not in browser.get(url, {**query, "framework": "triton"}).content.decode()
    assert browser.get(url, {**query, "framework": "nothing"}).status_code == 200


def test_a_folder_chooses_its_framework_and_another_one_says_so(
    browser: Client, llama: Path, dataset: Any, queue: Any
) -> None:
    query = {"dataset": dataset.name, "path": "llama"}
    assert 'value="vllm" checked' in browser.get(reverse(NEW), query).content.decode()
    assert 'value="triton" checked' in browser.get(reverse(NEW), {**query, "path": "echo"}).content.decode()
    wrong = browser.get(reverse(NEW), {**query, "framework": "triton"}).content.decode()
    assert "This is for vLLM: choose that framework above." in wrong
    other = browser.get(reverse(NEW), {**query, "path": "echo", "framework": "vllm"}).content.decode()
    assert "This is for Triton: choose that framework above." in other


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dtype", "float8", "Must be one of: auto"),
        ("quantization", "../awq", "one of vLLM&#x27;s quantisations"),
        ("max_loras", "2", "there are none"),
        ("enable_auto_tool_choice", "on", "needs the parser"),
        ("extra_args", "--host=0.0.0.0", "--host"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(
    field: str, value: str, message: str, browser: Client, filled: QueryDict
) -> None:
    answer = send(browser, filled, **{field: value})
    text = answer.content.decode()
    assert answer.status_code == 422 and message in text and 'aria-invalid="true"' in text, text
    assert "The service was not created" in text and 'value="vllm" checked' in text
    assert not Service.objects.exists()


def test_a_wrong_adapter_is_said_in_its_row(browser: Client, filled: QueryDict) -> None:
    names, paths = ["ok", "not a name"], ["adapters/pirate", "../out"]
    text = send(browser, filled, lora_modules__name=names, lora_modules__path=paths).content.decode()
    rows = text[text.index('id="rows-framework_configlora_modules"') :]
    assert "callers name it as service:name" in rows and "a folder inside the model" in rows


@pytest.mark.parametrize(("field", "value"), [("max_model_len", "4096"), ("lora_modules__name", "missing")])
def test_what_the_files_cannot_do_is_refused(field: str, value: str, browser: Client, filled: QueryDict) -> None:
    answer = send(browser, filled, **{field: value, "lora_modules__path": "adapters/none" if "lora" in field else ""})
    assert answer.status_code == 422 and not Service.objects.exists()
    assert ("context is 2048" if field == "max_model_len" else "is not there") in answer.content.decode()


def test_code_of_a_model_is_run_only_when_an_administrator_says_so(
    browser: Client, filled: QueryDict, admin: User, team: Any, client_of: Callable[[User | None], Client]
) -> None:
    refused = send(browser, filled, trust_remote_code="on")
    text = refused.content.decode()
    assert refused.status_code == 422 and "Only an administrator may set trust_remote_code" in text
    assert not Service.objects.exists()
    assert 'disabled aria-describedby="help_framework_config_trust_remote_code"' in blank_form(browser)
    Membership.objects.create(team=team, user=admin, role="owner")
    root = client_of(admin)
    assert "Only for files whose origin you trust." in blank_form(root)
    assert send(root, filled, trust_remote_code="on").status_code == 302
    assert Service.objects.get().target_revision.spec["framework_config"] == {"trust_remote_code": True}


def test_who_is_no_administrator_neither_keeps_nor_rolls_back_to_code_of_a_model(
    browser: Client,
    filled: QueryDict,
    admin: User,
    actor: Principal,
    world: World,
    team: Any,
    client_of: Callable[[User | None], Client],
) -> None:
    send(client_of(admin), filled, trust_remote_code="on")
    service = world.converge(Service.objects.get())
    url = reverse("service-edit", args=["llama"])
    sent = post_of(forms.from_spec("", "", 1, service.target_revision.spec))
    sent["limits.concurrency"] = "3"
    answer = browser.post(url, sent.urlencode(), content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 422 and "Only an administrator" in answer.content.decode()
    sent["framework_config.trust_remote_code"] = ""
    assert browser.post(url, sent.urlencode(), content_type="application/x-www-form-urlencoded").status_code == 302
    back = browser.post(reverse("service-act", args=["llama", "rollback"]), {"revision": "1"}, follow=True)
    assert "Only an administrator" in back.content.decode()
    assert service.revisions.count() == 2


def blank_form(browser: Client) -> str:
    text: str = browser.get(reverse(NEW)).content.decode()
    return text
