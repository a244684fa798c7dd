"""Seed 004, KServe's InferenceGRPCClient with its default retries: over TLS on a stack of its own, and in the clear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.first_run import example
from tests.clients import call
from tests.integration.live import Live
from tests.integration.stack_run import stack
from tests.servers.triton import runtime_root
from tests.services.gateway import pki

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]
PIXELS = [float(pixel) for pixel in example.PIXELS]
ANSWERS = {
    "live": True,
    "ready": True,
    "model_ready": True,
    "values": [8.0],
    "model": example.NAME,
    "other": "NOT_FOUND",
    "without_key": "UNAUTHENTICATED",
}


def ask(live: Live, target: str, **files: str) -> Any:
    headers = [["authorization", f"Bearer {live.key}"]]
    return call("kserve_grpc", target=target, model=example.NAME, data=PIXELS, headers=headers, **files)


def test_in_the_clear_it_infers_and_asks_for_readiness(live: Live) -> None:
    assert ask(live, live.grpc_target) == ANSWERS


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Path]]:
    """A stack whose gateway has a certificate for localhost; and the file of the authority that signed it."""
    runtime_root()
    folder = tmp_path_factory.mktemp("tls")
    authority = pki.authority(folder)
    server = pki.issue(authority, folder, "localhost")
    with stack() as running:
        running.extra = {"GATEWAY_TLS_CERT": str(server.certificate), "GATEWAY_TLS_KEY": str(server.key)}
        running.start_with_example()
        yield Live(running), authority.certificate


@pytest.mark.xdist_group("tls")
def test_over_tls_it_infers_and_asks_for_readiness(secured: tuple[Live, Path]) -> None:
    live, authority = secured
    assert ask(live, f"localhost:{live.stack.gateway_port}", ca=str(authority)) == ANSWERS
