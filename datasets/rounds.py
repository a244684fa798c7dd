"""The work of one preheat round, from claim to published tree, and the sweep. Called as `actions.run` and `.sweep`.

The order: lock, claim, plan, look whether the store has it, copy, verify, publish, finish. Any step may be repeated by
another worker after a crash; the staging directory's journal says what need not be.
"""

from __future__ import annotations

import logging
import threading

from django.conf import settings

from datasets import dispatch, reading, states
from datasets.errors import Cancelled, PreheatError, SourceChanged, SourceError
from datasets.leases import Lease, LeaseLost, claim, is_free, release_dead
from datasets.models import Round
from datasets.preheat import copy as copying
from datasets.preheat.journal import Busy, Staging, key_of
from datasets.preheat.store import Store, make_manifest
from datasets.preheat.verify import damaged_parts
from datasets.sources.base import Source
from datasets.specs import Plan, Tree

ATTEMPTS = 5
PLANS = 4
"""How often one attempt plans again because a file changed under its hands."""
SWEEP_LIMIT = 20
AT_ONCE = 4
"""Rounds that one worker process does side by side: fewer than its threads, so that copying never starves reconcile."""

_seats = threading.BoundedSemaphore(AT_ONCE)
logger = logging.getLogger(__name__)


def run(round_pk: int) -> None:
    """Does a round, or what is left of one. Does nothing when another worker owns it, or it is over.

    Nor when this process does enough already: the sweep, or the next round to end, hands it out again.
    """
    if not _seats.acquire(blocking=False):
        return
    try:
        if not _taken(round_pk):
            return
    finally:
        _seats.release()
    _hand_out(limit=1)  # rather than leaving the seat empty until the next sweep


def sweep(limit: int = SWEEP_LIMIT) -> int:
    """Hands out rounds that nobody works on, and removes what ended rounds left. Returns how many were handed out."""
    store = reading.store()
    release_dead(lambda round_pk: store.is_held(str(round_pk)))
    handed_out = _hand_out(limit)
    active = {str(pk) for pk in Round.objects.active().values_list("pk", flat=True)}
    for name in store.staging_names():
        if name not in active:
            _discard(store, name)
    return handed_out


def _hand_out(limit: int) -> int:
    ours = Round.objects.without_owner().filter(node=settings.NODE_NAME)
    waiting = list(ours.order_by("id").values_list("pk", flat=True)[:limit])
    for round_pk in waiting:
        dispatch.run_round(round_pk, expires=10)
    return len(waiting)


def _taken(round_pk: int) -> bool:
    """Whether this worker got the round. The lock on disk comes before the row, so that no living owner is robbed."""
    if not is_free(round_pk):
        return False
    store = reading.store()
    try:
        store.make()
        with store.staging(str(round_pk)) as staging:
            if (token := claim(round_pk)) is None:
                return False
            _guarded(Lease(round_pk, token), store, staging)
    except Busy:
        return False
    except LeaseLost:
        logger.info("Round %s is not this worker's any more.", round_pk)
    except OSError as error:  # not even the staging directory can be made
        _cannot_start(round_pk, error)
    if not Round.objects.active().filter(pk=round_pk).exists():
        _discard(store, str(round_pk))
    return True


def _cannot_start(round_pk: int, error: OSError) -> None:
    if (token := claim(round_pk)) is not None:
        said = f"The store of this node cannot be written: {error.strerror}."
        _again(Lease(round_pk, token), PreheatError(said, permanent=False))


def _guarded(lease: Lease, store: Store, staging: Staging) -> None:
    try:
        tree = _tree(lease, store, staging)
        lease.finish(states.DONE, tree=tree.digest, message="", bytes_done=tree.total_bytes, files_done=tree.file_count)
    except Cancelled:
        lease.finish(states.CANCELLED, message="Cancelled.")
    except (SourceError, PreheatError) as error:
        _again(lease, error)
    except LeaseLost:
        raise
    except Exception:  # the edge of the task: the round must not stay COPYING for ever
        logger.exception("Round %s failed.", lease.round_pk)
        lease.finish(states.FAILED, message="An unexpected error; the log of the worker has the details.")


def _again(lease: Lease, error: SourceError | PreheatError) -> None:
    """Gives the round back with a growing pause, or ends it as FAILED when trying again is of no use."""
    attempts = Round.objects.values_list("attempts", flat=True).get(pk=lease.round_pk) + 1
    if error.permanent or attempts >= ATTEMPTS:
        said = str(error) if error.permanent else f"{error} Given up after {attempts} attempts."
        lease.finish(states.FAILED, message=said, attempts=attempts)
        return
    pause = 2**attempts
    said = f"{error} Attempt {attempts} of {ATTEMPTS}; the next one follows in {pause} s."
    lease.release(wait=pause, message=said, attempts=attempts)


def _tree(lease: Lease, store: Store, staging: Staging) -> Tree:
    lease.write(state=states.COPYING, message="")
    round_ = Round.objects.select_related("dataset").get(pk=lease.round_pk)
    source = reading.source_of(round_.dataset)
    for _ in range(PLANS):
        plan = source.plan(round_.path, beat=lease.check)
        lease.write(fingerprint=plan.fingerprint, files_total=len(plan.files), bytes_total=plan.total_bytes)
        if (tree := store.find(plan.fingerprint)) is not None:
            return tree
        try:
            with copying.disk_full_explained(plan.total_bytes, store.root):
                return _copied(plan, source, round_, store, staging, lease)
        except SourceChanged as error:
            changed = error
    raise PreheatError(
        f"{changed.path} changed each of the {PLANS} times that it was copied.", hint=changed.hint
    ) from changed


def _copied(plan: Plan, source: Source, round_: Round, store: Store, staging: Staging, lease: Lease) -> Tree:
    speed, before = copying.Speed(), Round.objects.values_list("bytes_copied", flat=True).get(pk=round_.pk)

    def progress(seen: copying.Progress) -> None:
        lease.note(
            bytes_done=seen.bytes_done, files_done=seen.files_done, bytes_copied=before + seen.bytes_copied,
            bytes_per_second=speed.reading(seen.bytes_copied),
        )

    try:
        stored = copying.copy(plan, source, round_.path, staging, progress=progress, check=lease.check)
    except SourceChanged:
        lease.write()  # so that what this plan moved is counted before the next one starts to
        raise
    lease.write(state=states.VERIFYING)
    if damaged := damaged_parts(plan, stored, staging, lease.check):
        for key in damaged:
            staging.forget(key)
        raise PreheatError(f"{len(damaged)} copied files do not read back as they were written.", permanent=False)
    parts = {file.path: staging.part(key_of(file)) for file in plan.files}
    return store.publish(
        staging, parts, make_manifest(stored, plan.empty_dirs), fingerprint=plan.fingerprint, check=lease.write
    )


def _discard(store: Store, name: str) -> None:
    try:
        store.discard_staging(name)
    except (Busy, OSError) as error:
        logger.info("What round %s left stays until the next sweep: %s", name, error)
