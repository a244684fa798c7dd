"""States of a service, their groups and arrows. Imports nothing of ours.

PREHEATING -> QUEUED -> STARTING -> READY <-> DEGRADED      owner: control.reconcile
STARTING -> DEGRADED                                        owner: control.reconcile, of a revision that has served
STARTING -> QUEUED (its replicas are gone)                  owner: control.reconcile
PREHEATING | QUEUED | STARTING -> FAILED                    owner: control.reconcile
anything but STOPPED -> STOPPING                            owner: actions.services.stop and .delete
STOPPING -> STOPPED                                         owner: control.reconcile (or the row is deleted)
STOPPED | FAILED -> PREHEATING                              owner: actions.services.start (and edit, of a FAILED one)

A service that serves does not go back to the queue: a new revision waits beside the one that serves, or takes over its
claim (control.rollout), and meanwhile the service is READY or DEGRADED.
"""

from __future__ import annotations

from typing import Final

PREHEATING: Final = "PREHEATING"
QUEUED: Final = "QUEUED"
STARTING: Final = "STARTING"
READY: Final = "READY"
DEGRADED: Final = "DEGRADED"
STOPPING: Final = "STOPPING"
STOPPED: Final = "STOPPED"
FAILED: Final = "FAILED"

ALL: Final = (PREHEATING, QUEUED, STARTING, READY, DEGRADED, STOPPING, STOPPED, FAILED)
ROUTABLE: Final = frozenset({READY, DEGRADED})
"""The gateway sends requests to the replicas of these; of any other it answers 503 with the state."""
OPEN: Final = ROUTABLE | {STARTING}
"""With a serving revision, the gateway has these open: it is told just before a service is called READY."""
WAITING: Final = frozenset({PREHEATING, QUEUED, STARTING, STOPPING})
SETTLED: Final = frozenset({STOPPED, FAILED})

TRANSITIONS: Final[dict[str, frozenset[str]]] = {
    PREHEATING: frozenset({QUEUED, FAILED, STOPPING}),
    QUEUED: frozenset({STARTING, FAILED, STOPPING, PREHEATING}),
    STARTING: frozenset({READY, DEGRADED, FAILED, STOPPING, PREHEATING, QUEUED}),
    READY: frozenset({DEGRADED, STOPPING}),
    DEGRADED: frozenset({READY, STOPPING}),
    STOPPING: frozenset({STOPPED}),
    STOPPED: frozenset({PREHEATING, STOPPING}),
    FAILED: frozenset({PREHEATING, STOPPING}),
}

LABELS: Final = {state: state.title() for state in ALL}
COLOURS: Final = {
    PREHEATING: "blue",
    QUEUED: "amber",
    STARTING: "blue",
    READY: "green",
    DEGRADED: "amber",
    STOPPING: "grey",
    STOPPED: "grey",
    FAILED: "red",
}
CHOICES: Final = [(state, LABELS[state]) for state in ALL]
