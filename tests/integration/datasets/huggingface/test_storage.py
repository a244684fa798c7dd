"""Large files: the storage that the Hub points at."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datasets.sources.base import Site
from datasets.sources.huggingface.source import HuggingFaceSource
from tests.integration.datasets.huggingface.asking import Make, named, part, refused, whole
from tests.servers.hub import Hub

pytestmark = pytest.mark.integration


def test_an_address_that_expired_is_asked_for_anew_once(server: Hub, source: Make, model: Path) -> None:
    server.push("org/expires", model)
    repository = source("org/expires")
    file = named(repository.plan(""), "model.safetensors")
    content = (model / "model.safetensors").read_bytes()
    assert part(repository, file, 0, 100) == content[:100]
    server.set(cdn_key="another")
    server.forget_requests()
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda at: part(repository, file, at, 1000), [0, 1000, 2000, 3000]))
    assert b"".join(parts) == content[:4000]
    assert len(server.requests("hub")) == 1


def test_a_storage_that_refuses_a_fresh_address_is_not_asked_for_ever(server: Hub, source: Make, model: Path) -> None:
    server.push("org/refuses", model)
    repository = source("org/refuses")
    file = named(repository.plan(""), "model.safetensors")
    assert part(repository, file, 0, 10)
    server.set(cdn_seconds=-10, cdn_key="third")
    server.forget_requests()
    error = refused(lambda: repository.open(file, "", 0, 10))
    assert "Signature" not in str(error)
    assert len(server.requests("hub")) == 1
    assert len(server.requests("cdn")) == 2


def test_a_storage_that_no_administrator_listed_is_named_by_the_check(server: Hub, model: Path) -> None:
    server.push("org/model", model)
    repository = HuggingFaceSource(
        {"repository": "org/model", "endpoint": server.url}, Site(endpoints=server.endpoints[:1])
    )
    error = refused(repository.check)
    assert f"127.0.0.1:{server.cdn_port}" in error.message
    assert "DATASET_ENDPOINTS" in error.hint
    assert server.requests("cdn") == []


def test_a_mirror_that_has_the_bytes_itself_gets_the_token_with_each_part(
    server: Hub, source: Make, model: Path
) -> None:
    server.push("org/mirrored", model, private=True, readers=["hf_in"])
    server.set(direct=True)
    repository = source("org/mirrored", token="hf_in")
    for file in repository.plan("").files:
        assert whole(repository, file) == (model / file.path).read_bytes()
    assert server.requests("cdn") == []
