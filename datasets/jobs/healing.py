"""Reading the store again on a schedule, and copying anew what a disk has damaged."""

from __future__ import annotations

import logging

from django.conf import settings

from console.accounts.principal import SYSTEM
from console.errors import ConsoleError
from datasets import states, wiring
from datasets.actions.rounds import request_round
from datasets.models import Round
from datasets.preheat.store import upkeep

logger = logging.getLogger(__name__)


def reverify() -> str | None:
    """Has the tree read again that was not read for the longest time. Its digest; None when there is no tree."""
    if (digest := upkeep.least_recently_verified(wiring.store())) is not None:
        upkeep.ask_to_verify(wiring.store(), digest)
        verify_asked()
    return digest


def verify_asked() -> None:
    """Reads the trees that somebody asked for, one after another. Nothing when somebody on this node is at it."""
    store = wiring.store()
    with upkeep.only_reader(store) as is_mine:
        while is_mine and (digests := upkeep.to_verify(store)):
            try:
                read_again(digests[0])
            except Exception:
                upkeep.ask_to_verify(store, digests[0])  # at the end: it must not keep the others from being read
                raise
            upkeep.note_read(store, digests[0])


def read_again(digest: str) -> None:
    """Reads one tree, and heals it from its source when it is damaged. Nothing when it was evicted meanwhile."""
    store = wiring.store()
    if digest not in {tree.name for tree in store.children("trees")}:
        return
    damaged_before = {tree.name for tree in store.children("damaged")}
    if problems := upkeep.condemn(store, digest):
        logger.error("Tree %s is damaged: %s", digest, " ".join(problems[:5]))
        # Others that hold the same content are damaged with it.
        for damaged in {digest, *(tree.name for tree in store.children("damaged"))} - (damaged_before - {digest}):
            heal(damaged)
    else:
        store.note_verified(digest)


def heal(digest: str) -> None:
    """Has the damaged files of a tree copied again, once for each place that it came from."""
    places = Round.objects.filter(tree=digest, state=states.DONE, node=settings.NODE_NAME).order_by("-id")
    seen: set[tuple[int, str]] = set()
    for job in places.select_related("dataset"):
        if (folder := (job.dataset_id, job.path)) not in seen:
            seen.add(folder)
            try:
                request_round(job.dataset, job.path, mode=job.mode, actor=SYSTEM)
            except ConsoleError as error:  # one place that is gone must not keep the others from healing it
                logger.error("Tree %s cannot be copied again from %s: %s", digest, job.dataset.name, error)
