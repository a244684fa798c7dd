"""The examples' models as services of one dataset, and the answers: a process for all examples of a protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients import call
from tests.integration.live import Live
from tests.integration.nvidia import models

DATASET = "nvidia"


@pytest.fixture(scope="package")
def services(live: Live) -> Iterator[Live]:
    folder = live.stack.datasets / DATASET
    models.write(folder)
    body = {"name": DATASET, "kind": "local", "options": {"path": str(folder)}, "team": "default"}
    answer = live.api("datasets/", body)
    assert answer.status == 201, answer.body
    assert live.api(f"datasets/{DATASET}/trust/", {"trusted": True}).status == 200
    for name in models.NAMES:
        size, env = {"cpu": 0.1, "memory_gib": 0.25}, {"MODEL_GREETING": models.GREETING}
        live.create(name, name, dataset=DATASET, resources=size, env=env)
    for name in models.NAMES:
        live.wait(name, seconds=180)
    yield live
    live.delete(*models.NAMES)


@pytest.fixture(scope="package")
def http(services: Live) -> Any:
    """What each example was answered over HTTP, by its name."""
    return run("nvidia_http", services)


@pytest.fixture(scope="package")
def grpc(services: Live) -> Any:
    return run("nvidia_grpc", services)


def run(client: str, live: Live) -> Any:
    return call(client, target=live.grpc_target, key=live.key, values=models.VALUES)
