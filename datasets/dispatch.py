"""The tasks of this app, by name, so that actions need not import it."""

from __future__ import annotations

from console import dispatch


def run_round(round_pk: int, *, expires: float | None = None) -> None:
    """Asks a worker to go on with a round. `expires` in seconds, for what the sweep will send again anyway."""
    dispatch.on_commit("datasets.run_round", round_pk, expires=expires)


def verify_tree(digest: str) -> None:
    """Asks a worker of this node to read one tree of its store again."""
    dispatch.on_commit("datasets.verify_tree", digest)
