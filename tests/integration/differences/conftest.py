"""The real gateway and bridge: before the real Triton, which the arena has, and before vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.integration.differences.both import Both
from tests.integration.differences.text_plane import OpenTextPlane, TextPlane
from tests.integration.fuzz.arena import Arena
from tests.servers.vllm import RunningVllm


@pytest.fixture(scope="package")
def both(arena: Arena) -> Iterator[Both]:
    """Mark its tests xdist_group("arena")."""
    with closing(Both(arena)) as entered:
        yield entered


@pytest.fixture(scope="package")
def plane(llama_server: RunningVllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextPlane]:
    """Mark its tests xdist_group("vllm"); they have a `nothing_ends` of their own."""
    with OpenTextPlane(tmp_path_factory.mktemp("t"), llama_server) as opened:
        yield opened.enter_all()


@pytest.fixture(autouse=True)
def nothing_ends(both: Both) -> Iterator[None]:
    """After every test each process is the one that it was, and nothing reached Triton that was counted as refused."""
    counted, both.passed = both.arena.counters(), 0
    before = {name: process.pid for name, process in both.arena.processes().items()}
    yield
    ends = {name: process.poll() for name, process in both.arena.processes().items()}
    assert set(ends.values()) == {None}, ends
    assert before == {name: process.pid for name, process in both.arena.processes().items()}
    assert both.passed is None or both.arena.triton_requests(counted) == both.passed
