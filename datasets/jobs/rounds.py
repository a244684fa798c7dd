"""What a worker does with a round, from claim to its end, and the sweep.

The order: lock, claim, the work (copying.py), finish, flush. Any step may be repeated by another worker after a crash.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import InterfaceError, OperationalError, connection
from django.db.models import F
from django.utils import timezone

from console.errors import Unavailable
from datasets import dispatch, states, wiring
from datasets.actions import refusals
from datasets.errors import Cancelled, NoRoomYet, Paused, PreheatError, SourceError, Waiting, Yielded
from datasets.jobs import full_disk, housekeeping, seats, turns
from datasets.jobs.copying import tree_of
from datasets.jobs.leases import LONGEST_PAUSE, Lease, LeaseLost, claim, is_free, release_dead
from datasets.jobs.seats import Seats, Turn
from datasets.models import Round
from datasets.preheat.copying.copy import unwritable
from datasets.preheat.journal import Busy, Staging
from datasets.preheat.store.trees import Store
from datasets.queries.reports import report_of
from datasets.specs import Tree

ATTEMPTS = 5
SWEEP_LIMIT = 20
WAIT = 1.0
"""Seconds until a round that waits for another one looks again."""
FAILED_KEEP = timedelta(days=1)
"""How long the next round of a path can go on with what a failed one had copied."""
YIELD = 3.0
"""Seconds after which a round that gave its seat up waits for one again: somebody else has it by then."""

_seats = Seats()
logger = logging.getLogger(__name__)


def run(round_pk: int) -> None:
    """Do this round, or what is left of it.

    Returns at once when other rounds come first or this process has no seat. The sweep, or the next round to end,
    hands it out again.
    """
    if not _seats.take():
        return
    try:
        if not _take(seats.following(round_pk, _seats.left() + 1)):
            return
    except (OperationalError, InterfaceError) as error:
        logger.warning("The database is away; round %s waits until it is back: %s", round_pk, error)
        connection.close()
        return
    finally:
        _seats.leave()
    _hand_out(limit=1)  # rather than leaving the seat empty until the next sweep


def sweep(limit: int = SWEEP_LIMIT) -> int:
    """Hands out rounds that nobody works on, and removes what ended rounds left. Returns how many were handed out."""
    store = wiring.store()
    release_dead(lambda round_pk: store.is_held(str(round_pk)))
    handed_out = _hand_out(limit)
    needed = Round.objects.active() | Round.objects.filter(
        state=states.FAILED, finished_at__gt=timezone.now() - FAILED_KEEP
    )
    names = {str(pk) for pk in needed.values_list("pk", flat=True)}
    for name in store.staging_names():
        if name not in names:
            _discard(store, name)
    return handed_out


def _hand_out(limit: int) -> int:
    following = seats.call(limit)
    for round_pk in following:
        dispatch.run_round(round_pk, expires=10)
    return len(following)


def _take(round_pk: int) -> bool:
    """Do the round; False when another worker has it. The lock on disk comes before the row: a live owner keeps it."""
    if not is_free(round_pk):
        return False
    store = wiring.store()
    try:
        store.make()
        _adopt(store, round_pk)
        with store.staging(str(round_pk)) as staging:
            if (token := claim(round_pk)) is None:
                return False
            _work_on(Lease(round_pk, token), store, staging)
    except Busy:
        return False
    except LeaseLost:
        logger.info("Another worker owns round %s now.", round_pk)
    except OSError as error:  # not even the staging directory can be made
        _cannot_start(round_pk, error)
    if Round.objects.filter(pk=round_pk, state__in={states.DONE, states.CANCELLED}).exists():
        _discard(store, str(round_pk))
    housekeeping.settle()
    return True


def _adopt(store: Store, round_pk: int) -> None:
    """Take over what the last failed round of the same path had copied."""
    job = Round.objects.filter(pk=round_pk).first()
    if job is not None:
        failed = Round.objects.filter(
            dataset=job.dataset_id, path=job.path, node=job.node, state=states.FAILED, pk__lt=round_pk
        ).first()
        if failed is not None:
            store.adopt_staging(str(failed.pk), str(round_pk))


def _cannot_start(round_pk: int, error: OSError) -> None:
    if (token := claim(round_pk)) is not None:
        _wait_or_retry(Lease(round_pk, token), unwritable(error))


def _work_on(lease: Lease, store: Store, staging: Staging) -> None:
    try:
        full_disk.require(lease, store.root)
        tree = tree_of(lease, store, staging, Turn(lease.round_pk, _seats.most))
        full_disk.forget(lease)
        lease.finish(states.DONE, tree=tree.digest, message="", bytes_done=tree.total_bytes, files_done=tree.file_count)
        lease.say(f"Done: {tree.file_count} files are published as {tree.digest[:12]}.")
        _read_report(lease, store, tree)
    except Cancelled:
        lease.finish(states.CANCELLED, message="Cancelled.")
        lease.say("Cancelled.")
    except Paused:
        _pause(lease)
    except Yielded as error:
        slow = str(error) == turns.SLOW
        lease.release(wait=YIELD, message=str(error), slow_yields=F("slow_yields") + int(slow))
        lease.say(str(error))
    except (SourceError, PreheatError) as error:
        _wait_or_retry(lease, error)
    except (LeaseLost, OperationalError, InterfaceError):
        raise  # the round is another worker's, or will be as soon as there is a database again
    except Unavailable as error:  # a folder is in use by others for long: that passes
        lease.release(wait=WAIT, message=str(error))
    except OSError as error:  # of a journal or a note beside the files
        _wait_or_retry(lease, unwritable(error))
    except Exception:  # the edge of the task: the round must not stay COPYING for ever
        logger.exception("Round %s failed.", lease.round_pk)
        lease.finish(states.FAILED, message="An unexpected error; the log of the worker has the details.")


def _wait_or_retry(lease: Lease, error: SourceError | PreheatError) -> None:
    if isinstance(error, NoRoomYet):
        full_disk.short(lease, error)
    elif isinstance(error, Waiting):
        lease.release(wait=WAIT, message=str(error))
    else:
        _retry_or_fail(lease, error)


def _pause(lease: Lease) -> None:
    if lease.pause():
        lease.say("Paused. What was copied stays.")
    elif Round.objects.filter(pk=lease.round_pk, cancel_requested=True).exists():
        lease.finish(states.CANCELLED, message="Cancelled.")
        lease.say("Cancelled.")
    else:  # resumed while the streams were ending
        lease.release(wait=0.0)


def _read_report(lease: Lease, store: Store, tree: Tree) -> None:
    """Inspect the files now, so that pages and forms have the report at once."""
    path = Round.objects.values_list("path", flat=True).get(pk=lease.round_pk)
    report = report_of(store, tree, path.rsplit("/", 1)[-1])
    if report.summary:
        lease.say(report.summary)


def _retry_or_fail(lease: Lease, error: SourceError | PreheatError) -> None:
    """Release the round with a growing pause, or end it as FAILED when a retry cannot help."""
    refusals.count(error, f"round {lease.round_pk}")
    attempts = Round.objects.values_list("attempts", flat=True).get(pk=lease.round_pk) + 1
    if error.permanent or attempts >= ATTEMPTS:
        message = str(error) if error.permanent else f"{error} Given up after {attempts} attempts."
        lease.finish(states.FAILED, message=message, attempts=attempts)
        lease.say(f"Failed: {message}")
        return
    pause = max(2**attempts, round(min(getattr(error, "wait", 0.0), LONGEST_PAUSE)))
    message = f"{error} Attempt {attempts} of {ATTEMPTS}; the next one follows in {pause} s."
    lease.release(wait=pause, message=message, attempts=attempts)
    lease.say(message)


def _discard(store: Store, name: str) -> None:
    try:
        store.discard_staging(name)
    except (Busy, OSError) as error:
        logger.info("What round %s left stays until the next sweep: %s", name, error)
