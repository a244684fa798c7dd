"""Calls between two teams: what each may see of them is what the tests are about."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.models import Team
from tests.services import used


@pytest.fixture
def calls(team: Team, other_team: Team, tmp_path: Path) -> None:
    """4 of vision's key to echo, 3 of speech's key to asr, 2 of speech's powerful key to echo, 1 of nobody to nothing,
    and 5 that were made without a key to echo and refused."""
    used.world(team, other_team)
    used.call(tmp_path, 4, service="echo", client=used.VISION, ms=15)
    used.call(tmp_path, 3, service="asr", client=used.SPEECH)
    used.call(tmp_path, 2, service="echo", client=used.ADMIN, door="v2-grpc", grpc_status=0)
    used.call(tmp_path, 1, service=None, client=None, status=404)
    used.call(tmp_path, 5, service="echo", client="keyless-call", status=401)
