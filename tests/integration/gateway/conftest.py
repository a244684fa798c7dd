"""Fixtures with a running gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tritonclient.grpc import service_pb2_grpc

from tests.integration.gateway.doors import Doors, open_doors
from tests.integration.gateway.stage import Stage, staged


@pytest.fixture
def fresh_stage(tmp_path: Path) -> Iterator[Stage]:
    """For tests that kill or change something."""
    with staged(tmp_path / "g") as stage:
        yield stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Shared by the tests of one file, which only send requests."""
    with staged(tmp_path_factory.mktemp("g")) as stage:
        yield stage


@pytest.fixture(scope="module")
def stub(stage: Stage) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with stage.channel() as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Shared by the tests of one file, as `stage`."""
    with open_doors(tmp_path_factory.mktemp("d")) as doors:
        yield doors


@pytest.fixture
def fresh_doors(tmp_path: Path) -> Iterator[Doors]:
    with open_doors(tmp_path / "d") as doors:
        yield doors
