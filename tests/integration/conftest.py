"""The stack that tests share. Tests that break something start one of their own instead (see stack_run.stack)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.stack import example
from tests.integration.engine_home import wait_for
from tests.integration.live import Live
from tests.integration.stack_run import stack
from tests.triton import runtime_root


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """READY with the example service, as `make run` leaves it. Mark its tests xdist_group("live")."""
    runtime_root()
    with stack() as made:
        made.start("--no-color")
        wait_for(made.said, lambda text: f"{example.NAME} says 8" in text, 120)
        yield Live(made)
