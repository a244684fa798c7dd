"""What the form shows of model files beyond their tensors: contradictions, code, memory, and a config.pbtxt to copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.accounts.principal import Principal
from datasets.actions import trust
from datasets.models import Dataset
from datasets.sources.local.source import LocalSource
from services import forms
from services.frameworks.vllm.framework import Vllm
from services.models import Service
from tests import repositories
from tests.datasets.inspect.made import LLAMA_3_8B, config, llama_shapes, safetensors
from tests.repositories import chain, onnx_model, python_model, write
from tests.services.frameworks.triton.onnx_files import write_digits
from tests.services.test_forms import post_of
from tests.services.world import World


@pytest.fixture
def read(alice: User, client_of: Callable[[User | None], Client], dataset: Dataset) -> Callable[..., str]:
    def ask(path: str, framework: str = "triton", **more: Any) -> str:
        query = {"dataset": dataset.name, "model_path": path, "framework": framework, **more}
        return client_of(alice).get(reverse("service-model"), query).content.decode()

    return ask


def test_a_contradiction_is_shown_with_what_to_write(read: Callable[..., str], dataset: Dataset) -> None:
    root = Path(dataset.options["path"]) / "digits"
    write_digits(root / "1" / "model.onnx")
    (root / "config.pbtxt").write_text('backend: "onnxruntime" input { name: "pixels" data_type: TYPE_FP32 dims: 9 }')
    page = read("digits")
    assert "contradicts" in page and "Input pixels: The model has [-1, 64]: write dims: [-1, 64]." in page
    assert "A complete config.pbtxt" in page and "dims: [-1, 64]" in page.split("A complete config.pbtxt")[1]
    (root / "config.pbtxt").unlink()
    assert "contradicts" not in read("digits") and "Can be served as is." in read("digits")


def test_code_in_the_files_is_shown_and_what_is_missing_to_run_it(
    read: Callable[..., str], dataset: Dataset, actor: Principal
) -> None:
    assert "Runs as code" in read("echo") and "is not trusted" not in read("echo")
    trust.withdraw(dataset, actor=actor)
    assert "1/model.py: A Python program" in read("echo") and "dataset models is not trusted" in read("echo")


def test_a_language_model_says_its_datatype_and_the_memory_that_it_needs(
    read: Callable[..., str], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Vllm, "missing", lambda self, runtime: "")
    folder = config(Path(dataset.options["path"]) / "llama", LLAMA_3_8B)
    safetensors(folder / "model.safetensors", llama_shapes(LLAMA_3_8B))
    page = read("llama", "vllm")
    assert 'name="framework_config.dtype.read" value="bfloat16"' in page
    assert '<option value="bfloat16" selected>' in page
    assert "It needs about 18.5 GiB of GPU memory: 15.0 GiB for the weights, 1.0 GiB for the KV cache" in page
    assert "8.03 B" in page and "128 KiB a token" in page


def test_a_repository_shows_its_models_and_the_tensors_of_the_one_that_is_called(
    read: Callable[..., str], dataset: Dataset
) -> None:
    files = {**onnx_model("neg", repositories.config("onnxruntime")), **python_model("add")}
    write(Path(dataset.options["path"]) / "several", {**files, "flow/config.pbtxt": chain("neg", "add")})
    page = read("several")
    assert "Can be served as is." in page and 'value="IN"' in page and 'value="x"' not in page
    assert "<code>flow</code> ensemble" in page and "Callers call it, under the name of the service." in page
    assert "<code>neg</code> onnxruntime" in page and "A step: not to be called from outside." in page
    assert '<option value="" selected>Its only ensemble</option>' in page
    chosen = read("several", **{"framework_config.model": "add"})
    assert '<option value="add" selected>' in chosen and 'value="x"' in chosen and 'value="IN"' not in chosen
    assert "For the code of the others: not to be called from outside." in chosen
    gone = read("several", **{"framework_config.model": "gone"})
    assert "There is no model gone here. Models: add, flow, neg." in gone


def test_a_repository_without_an_ensemble_asks_which_model_is_called(
    read: Callable[..., str], dataset: Dataset
) -> None:
    write(Path(dataset.options["path"]) / "two", {**python_model("one"), **python_model("other")})
    assert "name the model that callers call in the option model" in read("two")
    assert "Can be served as is." in read("two", **{"framework_config.model": "one"})
    assert "framework_config.model" not in read("echo"), "there is nothing to choose"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each method of a local source was called."""
    counter: Counter[str] = Counter()

    def count(name: str) -> None:
        method = getattr(LocalSource, name)

        def counted(self: LocalSource, *args: Any, **more: Any) -> Any:
            counter[name] += 1
            return method(self, *args, **more)

        monkeypatch.setattr(LocalSource, name, counted)

    for name in ("plan", "open", "entry", "list", "read"):
        count(name)
    return counter


FILES_READ_ONCE = {"plan": 1, "open": 2, "entry": 1}
"""A model of two files: config.pbtxt and 1/model.py."""
ITS_FOLDERS_LISTED = {"plan": 1, "open": 2, "entry": 2, "list": 2, "read": 1}
"""With the page: its folder and the version folder, and the backend in config.pbtxt."""


@pytest.mark.parametrize(
    ("changes", "status", "expected"),
    [
        ({}, 302, FILES_READ_ONCE),
        ({"framework_config.instances": "2"}, 302, FILES_READ_ONCE),
        ({"queue": "gone"}, 422, ITS_FOLDERS_LISTED),
        ({"queue": "gone", "framework_config.instances": "2"}, 422, ITS_FOLDERS_LISTED),
        ({"replicas": "x", "framework_config.instances": "2"}, 422, ITS_FOLDERS_LISTED),
    ],
)
def test_a_post_reads_the_model_files_once(
    changes: dict[str, str],
    status: int,
    expected: dict[str, int],
    world: World,
    alice: User,
    client_of: Callable[[User | None], Client],
    dataset: Dataset,
    calls: Counter[str],
) -> None:
    post = post_of(forms.blank(name="echo", team="vision", dataset=dataset.name, model_path="echo"))
    for name, value in changes.items():
        post[name] = value
    body = post.urlencode()
    answer = client_of(alice).post(reverse("service-new"), body, content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, calls) == (status, expected)


@pytest.mark.parametrize(("cpu", "status", "expected"), [("2", 302, FILES_READ_ONCE), ("600", 422, ITS_FOLDERS_LISTED)])
def test_so_does_an_edit(
    cpu: str,
    status: int,
    expected: dict[str, int],
    make: Callable[..., Service],
    alice: User,
    client_of: Callable[[User | None], Client],
    calls: Counter[str],
) -> None:
    service = make()
    spec = service.target_revision.parsed().to_json()
    post = post_of(forms.from_spec(service.name, "vision", 1, spec))
    post["resources.cpu"] = cpu
    calls.clear()
    url = reverse("service-edit", args=[service.name])
    answer = client_of(alice).post(url, post.urlencode(), content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, calls) == (status, expected)
