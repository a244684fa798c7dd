"""Seed 004, KServe's InferenceGRPCClient with its default retries: in the clear, and over TLS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from console.accounts.principal import for_user
from console.first_run import example
from console.models import Team
from services.actions import keys
from services.control import publishing
from tests.clients import call
from tests.integration.live import Live
from tests.ports import free_ports
from tests.servers.gateway.rig import Gateway
from tests.servers.triton import context_for, runtime_root, serve, shared_samples
from tests.services.gateway import pki
from tests.services.ready import ready_service

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


def ask(key: str, target: str, **files: str) -> Any:
    headers = [["authorization", f"Bearer {key}"]]
    return call("kserve_grpc", target=target, model=example.NAME, data=PIXELS, headers=headers, **files)


@pytest.mark.xdist_group("live")
def test_in_the_clear_it_infers_and_asks_for_readiness(live: Live) -> None:
    assert ask(live.key, live.grpc_target) == ANSWERS


@pytest.mark.django_db
def test_over_tls_it_infers_and_asks_for_readiness(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, settings: Settings, team: Team, alice: User
) -> None:
    """The console's settings name a certificate for localhost."""
    authority = pki.authority(tmp_path / "pki")
    server = pki.issue(authority, tmp_path / "pki", "localhost")
    settings.GATEWAY_TLS_CERTIFICATE, settings.GATEWAY_TLS_KEY = str(server.certificate), str(server.key)
    settings.HOME = replace(settings.HOME, root=tmp_path)
    [settings.GATEWAY_PORT] = free_ports(1)
    context = context_for(
        example.NAME, shared_samples(tmp_path_factory) / "mnist-svm", tmp_path / "run", runtime_root()
    )
    with serve(context) as triton:
        publishing.prepare()
        ready_service(team, example.NAME, http_port=triton.ports.http, grpc_port=triton.ports.grpc)
        publishing.publish()
        gateway = Gateway(settings.HOME.gateway, settings.GATEWAY_PORT)
        try:
            gateway.run()
            key = keys.create(team=team, name="kserve", actor=for_user(alice)).key
            assert ask(key, f"localhost:{gateway.port}", ca=str(authority.certificate)) == ANSWERS
        finally:
            gateway.kill()
