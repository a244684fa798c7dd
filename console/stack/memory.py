"""What a process that serves for long does with the memory that it has taken to start."""

from __future__ import annotations

import gc

FEW = 10_000
"""New objects between two looks of the garbage collector at what is new; Python's own 700 are for small programs."""


def keep_what_is_loaded() -> None:
    """Takes modules and all else that is there out of the garbage collector's sight: they stay until the end.

    It would look at these 200,000 objects again each time that a listing of some thousand files has been read, which
    takes longer than reading it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(FEW, 10, 10)
