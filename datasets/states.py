"""States of a preheat round, their groups and arrows. Imports nothing of ours.

    PENDING -> COPYING -> VERIFYING -> DONE          owner of every arrow: the worker that holds the round's lease,
       |          |           |                      except -> CANCELLED (whoever asks, or the worker that sees
       +----------+-----------+--> FAILED            cancel_requested) and the sweep, which only frees a dead lease
       +----------+-----------+--> CANCELLED

Whoever takes a round over starts at COPYING again: what is on disk already counts as copied.
"""

from __future__ import annotations

from typing import Final

PENDING: Final = "PENDING"
COPYING: Final = "COPYING"
VERIFYING: Final = "VERIFYING"
DONE: Final = "DONE"
FAILED: Final = "FAILED"
CANCELLED: Final = "CANCELLED"

ALL: Final = (PENDING, COPYING, VERIFYING, DONE, FAILED, CANCELLED)
ACTIVE: Final = frozenset({PENDING, COPYING, VERIFYING})
TERMINAL: Final = frozenset({DONE, FAILED, CANCELLED})
CHOICES: Final = [(state, state.title()) for state in ALL]
