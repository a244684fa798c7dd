"""How often a process of ours looks for garbage: seldom while it loads its code, and never in what it has loaded."""

from __future__ import annotations

import gc

FEW = 50_000
"""New objects between two looks of the garbage collector at what is new; Python's own 700 are for small programs."""


def collect_seldom() -> None:
    """Called before the code is loaded, most of which stays: a fifth of the time that a start takes goes into looking
    for garbage in it."""
    gc.set_threshold(FEW, 10, 10)


def keep_what_is_loaded() -> None:
    """Takes modules and all else that is there out of the garbage collector's sight: they stay until the end.

    It would look at these 200,000 objects again each time that a listing of some thousand files has been read, which
    takes longer than reading it.
    """
    gc.collect()
    gc.freeze()
    collect_seldom()
