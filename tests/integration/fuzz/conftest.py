"""One arena for the whole folder: a process that a test has hurt fails the tests after it, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.fuzz.arena import Arena, OpenArena


@pytest.fixture(scope="package")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Mark its tests xdist_group("fuzz")."""
    with OpenArena(tmp_path_factory.mktemp("z")) as opened:
        yield opened.enter_all()
