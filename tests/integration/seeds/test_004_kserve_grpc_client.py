"""Seed 004, KServe's InferenceGRPCClient with its default retries: over TLS, and in the clear."""

from __future__ import annotations

from typing import Any

import pytest

from console.first_run import example
from tests.clients import call
from tests.integration.live import Live
from tests.services.gateway import pki

pytestmark = pytest.mark.integration
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


def test_over_tls_it_infers_and_asks_for_readiness(rough: Live, authority: pki.Pair) -> None:
    assert ask(rough, f"localhost:{rough.stack.gateway_port}", ca=str(authority.certificate)) == ANSWERS
