"""What the dashboard says of the gateway, asked of a real Envoy."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from services.gateway.snapshot import GatewayKey, Snapshot
from services.queries import dashboard
from tests.servers.gateway.rig import Gateway, until

pytestmark = [pytest.mark.integration, pytest.mark.django_db]
KEY = GatewayKey(
    id="abcdefghijkl", digest="0" * 64, team="vision", services=(), can_infer=True, rate_limit_per_minute=None
)


@pytest.fixture
def gateway(settings: Settings) -> Iterator[Gateway]:
    """In a directory of its own with a short name: a socket's path has at most 107 bytes."""
    root = Path(tempfile.mkdtemp(prefix="ic-"))
    settings.HOME = dataclasses.replace(settings.HOME, root=root)
    prepared = Gateway.prepared(settings.HOME.gateway, Snapshot())
    settings.GATEWAY_PORT = prepared.port
    try:
        yield prepared
    finally:
        prepared.kill()
        shutil.rmtree(root)


def test_the_gateway_is_away_until_it_runs_and_current_once_it_has_read_the_newest(gateway: Gateway) -> None:
    assert dashboard.gateway().state == "away"
    gateway.run()
    until(lambda: dashboard.gateway().state == "current")
    assert gateway.publish(Snapshot(keys=(KEY,)))
    until(lambda: dashboard.gateway().state == "current")
    gateway.kill()
    assert dashboard.gateway().state == "away"
