"""The Hub over TLS, as the real one is: with its certificate checked by what this machine trusts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.sources.base import Site
from datasets.sources.huggingface.source import HuggingFaceSource
from tests.datasets.sources.wire import certificate
from tests.integration.datasets.huggingface.asking import named, part, refused, whole
from tests.servers.hub import Hub, hub

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Path]]:
    """The server, and the file with its certificate."""
    folder = tmp_path_factory.mktemp("secure")
    _, public = certificate(folder / "pem")
    with hub(folder / "hub", (public, folder / "pem" / "key.pem")) as fake_hub:
        yield fake_hub, public


def push(server: Hub, model: Path) -> HuggingFaceSource:
    server.push("org/model", model)
    return HuggingFaceSource({"repository": "org/model", "endpoint": server.url}, Site(endpoints=server.endpoints))


def test_every_byte_arrives_over_tls_with_a_certificate_that_is_trusted(
    secure: tuple[Hub, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, public = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    repository = push(server, model)
    plan = repository.plan("")
    for file in plan.files:
        assert whole(repository, file) == (model / file.path).read_bytes()
    weights = named(plan, "model.safetensors")
    assert part(repository, weights, 70_000, 100_000) == (model / "model.safetensors").read_bytes()[70_000:170_000]
    assert "can be read" in repository.check()


def test_a_certificate_that_is_not_trusted_is_said_to_be_so(
    secure: tuple[Hub, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    server, _ = secure
    repository = push(server, model)
    error = refused(repository.check)
    assert error.permanent
    assert "certificate" in error.message
    assert "SSL_CERT_FILE" in error.hint


def test_nothing_without_tls_is_gone_on_to(
    secure: tuple[Hub, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, public = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    repository = push(server, model)
    weights = named(repository.plan(""), "model.safetensors")
    plain = f"http://127.0.0.1:{server.cdn_port}/plain"
    server.set(faults=[{"match": "/resolve/", "status": 302, "headers": {"Location": plain}}])
    assert "without TLS" in refused(lambda: repository.open(weights, "")).message
    server.set(faults=[{"match": "/revision/", "status": 307, "headers": {"Location": plain}}])
    assert "without TLS" in refused(lambda: repository.plan("")).message
    server.set(faults=[])
