"""The tasks of this app, by name, so that actions need not import it."""

from __future__ import annotations

from console import dispatch


def run_round(round_pk: int, *, expires: float | None = None) -> None:
    """Asks a worker to go on with a round. `expires` in seconds, for what the sweep will send again anyway."""
    dispatch.on_commit("datasets.run_round", round_pk, expires=expires)


def verify_asked() -> None:
    """Asks a worker of this node to read the trees of its store that are to be read again."""
    dispatch.on_commit("datasets.verify_asked")
