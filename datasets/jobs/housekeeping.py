"""Upkeep of this node: its store, with what the rest of the product knows (which trees are wanted), and its mounts."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time

from django.conf import settings

from datasets import states, wiring
from datasets.models import Round
from datasets.preheat.copying.copy import MARGIN
from datasets.preheat.journal import Busy
from datasets.preheat.store import upkeep
from datasets.queries import store as store_queries
from datasets.sources.archives import spool
from datasets.sources.nfs import mounts

_settling = threading.Lock()
logger = logging.getLogger(__name__)


def evict_unused() -> list[str]:
    """Removes trees that nobody needs, and that nobody asked for in a while, or while the store is over its quota.

    Their digests. Archives that were unpacked to be read go as well, an hour after their last use.
    """
    spool.sweep(settings.HOME.spool)
    store, now = wiring.store(), time.time()
    gone = upkeep.evict(store, store_queries.needed_trees(), not_used_since=now - store_queries.KEEPS.total_seconds())
    if settings.STORE_QUOTA_BYTES:
        over = upkeep.used_bytes(store) - settings.STORE_QUOTA_BYTES
        gone += upkeep.make_room(store, store_queries.needed_trees(), over, grace=store_queries.GRACE, now=now)
    return gone


def make_room(need: int, *, keep: set[str]) -> list[str]:
    """Removes what nobody needs, the longest unused first, when `need` bytes more would not fit. Digests.

    Not the trees in `keep`, which whoever asks is about to build on.
    """
    store = wiring.store()
    missing = need + MARGIN - shutil.disk_usage(store.root).free
    if settings.STORE_QUOTA_BYTES:
        missing = max(missing, need + upkeep.used_bytes(store) - settings.STORE_QUOTA_BYTES)
    if missing <= 0:
        return []
    for round_pk in Round.objects.filter(state=states.FAILED).values_list("pk", flat=True):
        with contextlib.suppress(Busy):
            store.discard_staging(str(round_pk))  # it would have spared copying again, which is a lesser good
    return upkeep.make_room(
        store, store_queries.needed_trees() | keep, missing, grace=store_queries.GRACE, now=time.time()
    )


def settle() -> None:
    """Brings what was published to the disk. One thread at a time: another one's tree is among those flushed next."""
    if _settling.acquire(blocking=False):
        try:
            for digest in upkeep.settle(wiring.store()):
                logger.error("Tree %s was damaged when the machine went down. It is copied again when needed.", digest)
        except OSError as error:
            logger.error("The store cannot be flushed: %s", error.strerror)
        finally:
            _settling.release()


def release_mounts() -> int:
    """Unmounts the NFS exports that nothing on this machine has asked for lately. Returns how many."""
    return mounts.release(settings.HOME.mounts)
