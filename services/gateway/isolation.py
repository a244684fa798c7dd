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
from services.gateway.envoy.routes.route import DNS_LABEL
from services.gateway.snapshot import GatewayService, Snapshot

SECONDS: Final = 60.0
"""Longest search: each step asks Envoy."""
UNRESOLVED: Final = "Envoy refuses a configuration with this and other services; which of them is not known yet."
Check = Callable[[Snapshot], object]
"""Raises GatewayRefused."""
Record = Callable[[GatewayService, str], object]
"""Called with each refused service, and why, as soon as it is found."""


def isolate(snapshot: Snapshot, suspects: Sequence[str], check: Check, record: Record) -> dict[GatewayService, str]:
    """Service to leave out -> why. Only `suspects` (names) are in question.

    When the search takes too long, the services that it has not cleared are left out as well, but not recorded: the
    next search has only those left. Raises GatewayRefused when no service is to blame.
    """
    deadline = time.monotonic() + SECONDS
    names = set(suspects)
    suspected = [service for service in snapshot.services if service.name in names]
    check(without(snapshot, suspected))
    refused: dict[GatewayService, str] = {}
    waiting, cleared = [suspected], False
    while waiting and (time.monotonic() < deadline or not (refused or cleared)):
        group = waiting.pop()
        members = set(group)
        others = [service for service in suspected if service not in members]
        try:
            check(without(snapshot, others))
            cleared = True
        except GatewayRefused as error:
            if len(group) == 1:
                refused[group[0]] = error.message
                record(group[0], error.message)
            else:
                waiting += [group[: len(group) // 2], group[len(group) // 2 :]]
    refused |= {service: UNRESOLVED for group in waiting for service in group}
    check(without(snapshot, list(refused)))  # Check the remaining services together.
    return refused


def without(snapshot: Snapshot, refused: Sequence[GatewayService]) -> Snapshot:
    """Replace these services with placeholders; drop invalid names."""
    left_out = {service.name for service in refused}
    kept = [each for each in snapshot.services if each.name not in left_out or DNS_LABEL.fullmatch(each.name)]
    return replace(snapshot, services=tuple(closed(each) if each.name in left_out else each for each in kept))


def closed(service: GatewayService) -> GatewayService:
    return GatewayService(
        name=service.name,
        team=service.team,
        public=False,
        ready=False,
        uid=service.uid,
        revision=service.revision,
        framework=service.framework,
        created=service.created,
    )
