"""Parts the paths of a whole listing into what is copied and what is left out. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from datasets import leftovers
from datasets.specs import LeftOut


@dataclass(frozen=True)
class Sifted:
    """`empty`: folders of which nothing is copied, the version folder of an ensemble for one."""

    kept: frozenset[str]
    empty: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def sift(paths: Iterable[str], empty: Iterable[str] = (), problems: Iterable[LeftOut] = ()) -> Sifted:
    """`paths` and `empty` are relative to what was asked for; `problems`: what is left out for a reason of its own."""
    left_out = {item.path: item.reason for item in problems}
    kept: set[str] = set()
    folders = set[str]()
    for path in paths:
        top, reason = leftovers.top(path)
        if reason:
            left_out[top] = reason
        else:
            kept.add(path)
            folders.update(_above(path))
    bare = {path for path in empty if not leftovers.top(path)[1]}
    bare |= {path.rpartition("/")[0] for path in left_out} - {""}
    inner = {above for path in bare for above in _above(path)}
    return Sifted(
        frozenset(kept),
        tuple(sorted(bare - folders - inner)),
        tuple(LeftOut(path, reason) for path, reason in left_out.items()),
    )


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
