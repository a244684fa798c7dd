"""A Hub for the tests of the kind `huggingface`, a model to push to it, and short ways to ask a source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datasets.sources.base import Site
from datasets.sources.huggingface.source import HuggingFaceSource
from tests.integration.datasets.huggingface.asking import WEIGHTS
from tests.servers.hub import Hub, hub


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with hub(tmp_path_factory.mktemp("hub")) as fake_hub:
        yield fake_hub


@pytest.fixture
def server(shared: Hub) -> Iterator[Hub]:
    """The shared server, as it was at first."""
    before = dict(shared.settings)
    shared.set(tokens=["hf_in", "hf_out"])
    shared.forget_requests()
    yield shared
    shared.set(**before)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "onnx" / "sub dir").mkdir(parents=True)
    (root / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}\n')
    (root / "model.safetensors").write_bytes(os.urandom(WEIGHTS))
    (root / "onnx" / "model.onnx").write_bytes(os.urandom(5000))
    (root / "onnx" / "sub dir" / "ünï #1?%20.txt").write_text("a name that URLs must quote\n")
    (root / "empty.txt").write_bytes(b"")
    return root


@pytest.fixture
def source(server: Hub, model: Path) -> Callable[..., HuggingFaceSource]:
    """Makes one of a repository, such as org/model, which is the model."""
    server.push("org/model", model)

    def make(repository: str = "org/model", **options: str) -> HuggingFaceSource:
        site = Site(endpoints=server.endpoints)
        return HuggingFaceSource({"repository": repository, "endpoint": server.url, **options}, site)

    return make
