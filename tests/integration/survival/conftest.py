"""The stack that these tests break. Each waits until all is well again."""

from __future__ import annotations

import pytest

from tests.integration.live import Live
from tests.integration.survival.survivor import Survivor


@pytest.fixture(scope="session")
def up(rough: Live) -> Survivor:
    return Survivor(rough.stack)
