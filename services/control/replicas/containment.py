"""Whether a replica may start without a box: what the installation asks of the engine."""

from __future__ import annotations

from django.conf import settings

from console.models import Team
from services.engines.base import Engine
from services.engines.local.sandboxes import OFF, REQUIRE
from services.errors import EngineError


def check(engine: Engine) -> None:
    """Raises EngineError where a box is required and the engine has none.

    Several teams require one: without it, the model of one team reads what the others have.
    """
    containment = engine.containment()
    if containment.boxed or settings.REPLICA_SANDBOX == OFF:
        return
    if settings.REPLICA_SANDBOX == REQUIRE or Team.objects.count() > 1:
        raise EngineError(
            f"No service starts here without a box. {containment.sentence}",
            permanent=True,
            hint="Where all teams may read all files: REPLICA_SANDBOX=off.",
        )
