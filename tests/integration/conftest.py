"""What several folders share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.fuzz.arena import Arena, OpenArena


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """A process that a test has hurt fails the tests after it, too. Mark its tests xdist_group("arena")."""
    with OpenArena(tmp_path_factory.mktemp("z")) as opened:
        yield opened.enter_all()
