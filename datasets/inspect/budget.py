"""How much one look at a folder may cost: a bad file must not keep a worker busy, and a good one needs little."""

from __future__ import annotations

import time
from typing import Final

from datasets.inspect.errors import TooMuch

SECONDS: Final = 20.0
STEPS: Final = 20_000_000
"""Fields, opcodes and entries in all; the largest models published have about a hundredth."""
EVERY: Final = 1024


class Budget:
    """Shared by all readers of one look. `step` raises TooMuch when the time or the steps are used up."""

    def __init__(self, seconds: float = SECONDS, steps: int = STEPS) -> None:
        self.until = time.monotonic() + seconds
        self.left = steps

    def step(self, count: int = 1) -> None:
        before, self.left = self.left, self.left - count
        if self.left < 0:
            raise TooMuch("it has more parts than can be looked at")
        if before // EVERY != self.left // EVERY and time.monotonic() > self.until:
            raise TooMuch("looking at it takes too long")
