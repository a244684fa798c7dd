"""Fixtures with a running gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tritonclient.grpc import service_pb2_grpc

from tests.integration.gateway.doors import Doors, OpenDoors
from tests.integration.gateway.stage import Stage, Staging


@pytest.fixture
def fresh_stage(tmp_path: Path) -> Iterator[Stage]:
    """For tests that kill or change something."""
    with Staging(tmp_path / "g") as staging:
        yield staging.enter_all()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Shared by the tests of one file, which only send requests."""
    with Staging(tmp_path_factory.mktemp("g")) as staging:
        yield staging.enter_all()


@pytest.fixture(scope="module")
def stub(stage: Stage) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with stage.channel() as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Shared by the tests of one file, as `stage`."""
    with OpenDoors(tmp_path_factory.mktemp("d")) as opened:
        yield opened.enter_all()


@pytest.fixture
def fresh_doors(tmp_path: Path) -> Iterator[Doors]:
    with OpenDoors(tmp_path / "d") as opened:
        yield opened.enter_all()
