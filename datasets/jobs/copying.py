"""The work of a round between claim and end: plan, look whether the store has it, copy, publish.

Called by rounds.py, which holds the staging directory and the lease.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from console.formats.units import duration_text, size_text
from datasets import states, wiring
from datasets.errors import PreheatError, SourceChanged, SourceDamaged, Waiting
from datasets.jobs import housekeeping
from datasets.jobs.leases import Lease
from datasets.jobs.seats import Turn
from datasets.models import Round
from datasets.preheat.copying import copy as copying
from datasets.preheat.copying.file_progress import ProgressFiles
from datasets.preheat.copying.speed import Limit, Speed
from datasets.preheat.journal import Staging, key_of
from datasets.preheat.store import upkeep
from datasets.preheat.store.trees import FindStored, Store, make_manifest
from datasets.sources.base import Source
from datasets.specs import Plan, StoredFile, Tree, left_out_text

PLANS = 4
"""How often one attempt plans again because a file changed under its hands."""

limit = Limit(settings.PREHEAT_BYTES_PER_SECOND)


@dataclass(frozen=True)
class Work:
    """A round that this worker has claimed, and what it works with."""

    job: Round
    source: Source
    store: Store
    staging: Staging
    lease: Lease
    turn: Turn

    def check(self) -> None:
        """Raises what the lease and the turn raise. Cheap enough to call often."""
        self.lease.check()
        self.turn.check()


@dataclass(frozen=True)
class Planned:
    """What is to become a tree: the files of the source, and those of the last copy that are to stay."""

    plan: Plan
    stays: tuple[StoredFile, ...]
    fingerprint: str
    """What the store finds the tree by."""
    find_stored: FindStored
    """Which of the files the store has already."""


def tree_of(lease: Lease, store: Store, staging: Staging, turn: Turn) -> Tree:
    """The published tree of a claimed round. Raises SourceError, PreheatError, and what lease and turn raise."""
    lease.write(state=states.COPYING, message="")
    job = Round.objects.select_related("dataset").get(pk=lease.round_pk)
    upkeep.settle_doubtful(store, lease.check)  # before anything of what a crash may have damaged is built on
    if job.fingerprint:
        _wait_for_others(job, job.fingerprint)
    work = Work(job, wiring.source_of(job.dataset), store, staging, lease, turn)
    for _ in range(PLANS):
        planned = _plan(work)
        tree = store.find(planned.fingerprint)
        if tree is not None or any(planned.find_stored(file) for file in planned.plan.files):
            _prove(work.source, planned.plan, job.path)
        if tree is not None:
            lease.say("The store of this node has all of them already.")
            return tree
        _wait_for_others(job, planned.fingerprint)
        try:
            with copying.disk_full_explained(planned.plan.total_bytes, store.root):
                return _published(work, planned)
        except SourceChanged as error:
            changed = error
            lease.say(f"{error.path} changed: the files are listed again.")
    raise PreheatError(
        f"{changed.path} changed each of the {PLANS} times that it was copied.", hint=changed.hint
    ) from changed


def _plan(work: Work) -> Planned:
    """Lists the files at the source, and notes in the round what there is to do."""
    job, source, lease = work.job, work.source, work.lease
    lease.say(f"Listing {job.path or 'all files'} of {job.dataset.name}.")
    plan = source.plan(job.path, beat=work.check)
    stays = _stays(job, plan, work.store)
    fingerprint = _fingerprint(plan, stays, job.dataset.team_id if source.connects else 0)
    # The source was made of this very row: whatever the dataset points to by now, the files come from here.
    lease.write(
        location=job.dataset.location,
        fingerprint=fingerprint,
        files_total=len(plan.files),
        bytes_total=plan.total_bytes,
        planned_at=timezone.now(),
    )
    size = size_text(plan.total_bytes)
    one = len(plan.files) == 1
    lease.say(f"1 file of {size} is planned." if one else f"{len(plan.files)} files of {size} are planned.")
    if left_out := left_out_text(plan.left_out):
        lease.say(left_out)
    return Planned(plan, stays, fingerprint, work.store.stored_finder(plan, _contents_key(job, source)))


def _prove(source: Source, plan: Plan, path: str) -> None:
    """Reads a byte of the plan: who may only list must not be given from the store what another team could read."""
    file = next((file for file in plan.files if file.size), None)
    if file is not None:
        with source.open(file, path, 0, 1) if file.ranged else source.open(file, path) as body:
            body.read(1)


def _stays(job: Round, plan: Plan, store: Store) -> tuple[StoredFile, ...]:
    """Files of the last copy that are gone from the source and are to stay."""
    if job.mode != states.KEEP:
        return ()
    manifest = store.manifest(_last_tree(job))
    if manifest is None:
        return ()
    planned = {*(file.path for file in plan.files), *plan.empty_dirs}
    folders = {"/".join(path.split("/")[:depth]) for path in planned for depth in range(1, path.count("/") + 1)}
    return tuple(
        file
        for file in manifest.files
        if file.path not in planned | folders
        and not any(_is_below(file.path, path) for path in planned)
        and store.blob(file.sha256).is_file()  # damaged here and gone from the source: lost
    )


def _last_tree(job: Round) -> str:
    """Digest of the last copy of this folder from the same location; "" when there was none."""
    done = Round.objects.filter(
        dataset=job.dataset, path=job.path, node=job.node, state=states.DONE, location=job.dataset.location
    )
    last: str | None = done.exclude(tree="").values_list("tree", flat=True).first()
    return last or ""


def _contents_key(job: Round, source: Source) -> str:
    """What the store remembers contents under. A team's own, where credentials decide who may read."""
    return f"{job.dataset.team_id}:{job.path}" if source.connects else job.path


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _fingerprint(plan: Plan, stays: tuple[StoredFile, ...], team: int) -> str:
    """What the store finds a tree of this plan by. `team` keeps apart what only that team's credentials may read."""
    kept = "".join(f"\n{file.path}\0{file.sha256}" for file in stays)
    if not stays and not team:
        return plan.fingerprint
    return hashlib.sha256(f"{plan.fingerprint}\n{team}{kept}".encode()).hexdigest()


def _wait_for_others(job: Round, fingerprint: str) -> None:
    """Raises Waiting while an older round of this node copies the same files: they need to come once."""
    older = (
        Round.objects.underway()
        .filter(~Q(lease_token=""), fingerprint=fingerprint, node=job.node, pk__lt=job.pk)
        .first()
    )
    if older is not None:
        raise Waiting(f"Waiting for round {older.pk}, which copies the same files.", permanent=False)


def _published(work: Work, planned: Planned) -> Tree:
    """Copies what is missing, puts it together with what stays, and publishes that."""
    began, plan, store, staging = time.monotonic(), planned.plan, work.store, work.staging
    stored = _copied(work, planned)
    work.lease.write(state=states.VERIFYING)
    parts = {file.path: staging.part(key_of(file)) for file in plan.files}
    parts |= {file.path: store.blob(file.sha256) for file in planned.stays}
    manifest = make_manifest((*stored, *planned.stays), plan.empty_dirs)
    tree = store.publish(staging, parts, manifest, fingerprint=planned.fingerprint, check=work.lease.write)
    if all(file.version for file in plan.files):  # else no later plan can name them
        store.remember(plan, _contents_key(work.job, work.source), manifest)
    moved = Round.objects.values_list("bytes_copied", flat=True).get(pk=work.job.pk)
    work.lease.say(
        f"Every byte has its digest. {size_text(moved)} were moved, the last of them in "
        f"{duration_text(time.monotonic() - began)}."
    )
    return tree


def _copied(work: Work, planned: Planned) -> tuple[StoredFile, ...]:
    """Brings the files of the plan into the staging directory, and says in the round how far it is."""
    plan, lease, speed = planned.plan, work.lease, Speed()
    before, least = Round.objects.values_list("bytes_copied", "bytes_done").get(pk=work.job.pk)
    last = _last_tree(work.job)
    missing = copying.missing_bytes(plan, work.staging, planned.find_stored)
    housekeeping.make_room(missing, keep={last} if last else set())
    watch = ProgressFiles(work.staging.directory, plan)

    def progress(seen: copying.Progress) -> None:
        watch.note(seen)
        lease.note(
            bytes_done=min(plan.total_bytes, max(least, seen.bytes_done)),
            files_done=seen.files_done,
            bytes_copied=before + seen.bytes_copied,
            bytes_per_second=speed.reading(seen.bytes_copied),
        )

    try:
        return copying.copy(
            plan,
            work.source,
            work.job.path,
            work.staging,
            progress=progress,
            check=work.check,
            find_stored=planned.find_stored,
            limit=limit,
        )
    except (SourceChanged, SourceDamaged):
        lease.write()  # so that what this plan moved is counted before the next one starts to
        raise
