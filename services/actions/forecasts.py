"""What a change would do to a service that serves, before it is saved: for the form and the buttons."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from console.errors import InvalidFields
from services import states, wiring
from services.actions import checks
from services.control.queues import claims
from services.control.revisions import carrier_of
from services.models import Revision, Service
from services.specs import ServiceSpec


@dataclass(frozen=True)
class Forecast:
    """`needs_choice`: both revisions do not fit at once, so a person says whether the old one ends first."""

    message: str
    needs_choice: bool = False
    refused: bool = False


def of_edit(service: Service, spec: ServiceSpec, replicas: int) -> Forecast | None:
    """None for a service that does not serve."""
    serving, target = service.serving, service.target
    if service.state not in states.ROUTABLE or serving is None or target is None:
        return None
    if spec.to_json() == target.parsed().to_json():
        scaled = replicas != service.replicas
        return Forecast("The replicas that run go on." if scaled else "Nothing is changed yet.")
    if carrier_of(service, spec) is not None:
        return Forecast("No replica is restarted: this changes only what the gateway or placement reads.")
    moved = checks.is_placed_anew((target.parsed(), service.replicas), (spec, replicas))
    try:
        checks.check_room(spec, replicas, room=moved, node=moved)
    except InvalidFields as error:
        return Forecast(error.text, refused=True)
    return _beside(service, serving, spec, replicas)


def of_restart(service: Service) -> Forecast | None:
    if service.state not in states.ROUTABLE or service.serving is None or service.target is None:
        return None
    return _beside(service, service.serving, service.target.parsed(), service.replicas)


def of_rollback(service: Service, earlier: Revision | None) -> Forecast | None:
    if earlier is None or service.state not in states.ROUTABLE or service.serving is None:
        return None
    spec = earlier.parsed()
    if carrier_of(service, spec, like=earlier, tree=earlier.tree) is not None:
        return Forecast("No replica is restarted.")
    return _beside(service, service.serving, spec, service.replicas)


def of_replacement(service: Service) -> str:
    """For how long it is off when a revision that waits takes the place of the one that serves, in a sentence."""
    drain = f"Before that, requests in flight are finished, for up to {settings.REPLICA_DRAIN_SECONDS} s."
    spec = service.target_revision.spec
    longest = wiring.framework(spec["framework"]).start_seconds(spec["framework_config"])
    rows = [row for row in service.replica_set.all() if row.revision_id == service.serving_id and row.started_at]
    # One that hung and was started again took this long only in sum; the others tell better.
    seconds = min((round((row.started_at - row.created_at).total_seconds()) for row in rows), default=longest)
    if seconds >= longest:
        return f"That takes at most {longest} s, the longest start that the service allows. {drain}"
    return f"That takes about {max(seconds, 1)} s, as the last start did. {drain}"


def _beside(service: Service, serving: Revision, spec: ServiceSpec, replicas: int) -> Forecast:
    outlook = claims.outlook(service, spec, replicas)
    if outlook.beside.granted:
        return Forecast(f"There is room for both: revision {serving.number} serves until the new one answers.")
    if outlook.needs_choice:
        return Forecast(outlook.beside.reason, needs_choice=True)
    return Forecast(f"The new revision would wait, and revision {serving.number} serves on. {outlook.reason}")
