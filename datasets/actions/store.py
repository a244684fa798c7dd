"""What administrators do to the store by hand: have one tree read again, and remove one that nobody needs."""

from __future__ import annotations

import time

from console.accounts.principal import Principal
from console.errors import Conflict, NotFound
from datasets import dispatch, wiring
from datasets.preheat.store import upkeep
from datasets.preheat.store.trees import Store
from datasets.queries import store as store_queries


def verify(digest: str, *, actor: Principal) -> None:
    """Has a worker read every byte of a tree; damaged files are copied again. Raises Forbidden, NotFound.

    One tree at a time: reading leaves the disk to those that serve, and asking for many is no way to stop a worker.
    """
    actor.require_admin()
    _require(wiring.store(), digest)
    upkeep.ask_to_verify(wiring.store(), digest)
    dispatch.verify_asked()


def evict(digest: str, *, actor: Principal) -> int:
    """Removes a tree that nobody needs; how many bytes the disk won. Raises Forbidden, NotFound, and Conflict.

    A later preheat copies it again.
    """
    actor.require_admin()
    store = wiring.store()
    _require(store, digest)
    needed = store_queries.needed_trees()
    if digest in needed:
        users = ", ".join(store_queries.users_of([digest])[digest]) or "something"
        raise Conflict(f"These files are needed by {users}.", hint="Delete the service first, or keep the files.")
    now = time.time()
    others = {tree.name for tree in store.children("trees")} - {digest}
    before = upkeep.used_bytes(store)
    if digest not in upkeep.evict(store, needed | others, not_used_since=now - store_queries.GRACE):
        raise Conflict(
            "These files were requested in the last minutes, and may be about to be used.",
            hint=f"Try again {round(store_queries.GRACE / 60)} minutes after the last request.",
        )
    return before - upkeep.used_bytes(store)


def _require(store: Store, digest: str) -> None:
    if digest not in {tree.name for tree in store.children("trees")}:
        raise NotFound("There is no such tree in the store of this node.", hint="It may have been evicted meanwhile.")
