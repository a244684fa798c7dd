"""Usage in the database as metering leaves it, from lines of a log; for the tests of what is read of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.utils import timezone

from console.models import Team
from services.gateway.envoy import names
from services.models import ApiKey, Service
from services.usage import metering
from tests.services.usage_log import line

VISION, SPEECH, ADMIN = "visionkey000", "speechkey000", "adminkey0000"
"""Ids of a key of each team, and of one of team speech that opens every team's services."""


def now() -> datetime:
    return datetime.now(UTC)


def world(team: Team, other_team: Team) -> None:
    """Service `echo` of team vision and `asr` of team speech, and the keys."""
    Service.objects.create(team=team, name="echo", state_since=timezone.now())
    Service.objects.create(team=other_team, name="asr", state_since=timezone.now())
    for owner, key_id in ((team, VISION), (other_team, SPEECH), (other_team, ADMIN)):
        ApiKey.objects.create(
            team=owner, name=f"name of {key_id}", key_id=key_id, digest=key_id.ljust(64, "0"), all_teams=key_id == ADMIN
        )


def call(folder: Path, times: int = 1, **fields: Any) -> None:
    """Calls that the gateway wrote down, and that were counted."""
    path = folder / names.ACCESS_LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        log.write(b"".join(line(**{"at": now(), "client": VISION, **fields}) for _ in range(times)))
    assert metering.catch_up(folder) == times
