"""One outside, and what three replicas report: two in boxes, one without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.engines.local import LocalEngine, sandboxes
from tests.integration.sandbox import replicas
from tests.integration.sandbox.outside import Outside, outside
from tests.integration.sandbox.replicas import Hostile


@pytest.fixture(scope="session")
def world() -> Iterator[Outside]:
    if problem := sandboxes.problem():
        pytest.skip(f"no box on this machine: {problem}")
    with outside() as around:
        yield around


@pytest.fixture(scope="session")
def engine(world: Outside) -> LocalEngine:
    return world.engine(sandboxes.REQUIRE)


@pytest.fixture(scope="session")
def boxed(world: Outside) -> Hostile:
    return replicas.plain(world, sandboxes.REQUIRE, "svc-boxed-r1-0")


@pytest.fixture(scope="session")
def model(world: Outside) -> Hostile:
    return replicas.triton(world, sandboxes.REQUIRE, "svc-model-r1-0")


@pytest.fixture(scope="session")
def unboxed(world: Outside) -> Hostile:
    return replicas.plain(world, sandboxes.OFF, "svc-unboxed-r1-0")
