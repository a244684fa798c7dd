"""Finds the services that Envoy refuses, so that all others are published without them.

In their place stands a virtual host that answers 503: what was published of such a service before may be open to more
callers than it should be by now, or lead to replicas that are gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from services.errors import GatewayRefused
from services.gateway.envoy.route import DNS_LABEL
from services.gateway.snapshot import GatewayService, Snapshot

SECONDS: Final = 60.0
"""Longest search: each step asks Envoy."""
Check = Callable[[Snapshot], object]
"""Raises GatewayRefused."""


def isolate(snapshot: Snapshot, suspects: Sequence[str], check: Check) -> dict[GatewayService, str]:
    """Refused service -> why. Only `suspects` (names) are in question.

    Raises GatewayRefused when no service is to blame, or the search takes too long.
    """
    deadline = time.monotonic() + SECONDS
    suspected = [service for service in snapshot.services if service.name in set(suspects)]
    check(without(snapshot, suspected))
    refused: dict[GatewayService, str] = {}
    waiting = [suspected]
    while waiting:
        group = waiting.pop()
        others = [service for service in suspected if service not in group]
        try:
            check(without(snapshot, others))
        except GatewayRefused as error:
            if time.monotonic() > deadline:
                raise
            if len(group) == 1:
                refused[group[0]] = error.message
            else:
                waiting += [group[: len(group) // 2], group[len(group) // 2 :]]
    check(without(snapshot, list(refused)))  # those that are fine each, are they so together?
    return refused


def without(snapshot: Snapshot, refused: Sequence[GatewayService]) -> Snapshot:
    """With nothing of these but their names, where those are names."""
    left_out = {service.name for service in refused}
    kept = [each for each in snapshot.services if each.name not in left_out or DNS_LABEL.fullmatch(each.name)]
    return replace(snapshot, services=tuple(closed(each) if each.name in left_out else each for each in kept))


def closed(service: GatewayService) -> GatewayService:
    return GatewayService(
        name=service.name,
        team=service.team,
        public=False,
        ready=False,
        message="The gateway refuses its configuration.",
        uid=service.uid,
        revision=service.revision,
        framework=service.framework,
        created=service.created,
    )
