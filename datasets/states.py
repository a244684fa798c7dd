"""States of a preheat round, their groups and arrows. Imports nothing of ours.

    PENDING -> COPYING -> VERIFYING -> DONE          owner of every arrow: the worker that holds the round's lease,
       |          |           |                      except -> CANCELLED and -> PAUSED (whoever asks, or the worker that
       +----------+-----------+--> FAILED            sees the wish), PAUSED -> PENDING (whoever asks), and the sweep,
       +----------+-----------+--> CANCELLED         which only frees a dead lease
       +----------+-----------+--> PAUSED --> PENDING

Whoever takes a round over starts at COPYING again: what is on disk already counts as copied.
"""

from __future__ import annotations

from typing import Final

PENDING: Final = "PENDING"
COPYING: Final = "COPYING"
VERIFYING: Final = "VERIFYING"
PAUSED: Final = "PAUSED"
DONE: Final = "DONE"
FAILED: Final = "FAILED"
CANCELLED: Final = "CANCELLED"

ALL: Final = (PENDING, COPYING, VERIFYING, PAUSED, DONE, FAILED, CANCELLED)
UNDERWAY: Final = frozenset({PENDING, COPYING, VERIFYING})
"""A worker has it, or will."""
ACTIVE: Final = UNDERWAY | {PAUSED}
"""Not over: there is at most one for each path of a dataset on a node."""
TERMINAL: Final = frozenset({DONE, FAILED, CANCELLED})
CHOICES: Final = [(state, state.title()) for state in ALL]

MIRROR: Final = "mirror"
KEEP: Final = "keep"
MODES: Final = [
    (MIRROR, "Mirror: exactly what is at the source now"),
    (KEEP, "Keep: files that are gone from the source stay"),
]
