"""Which code of a dataset a team trusts: Python models, pickles, code that model files bring.

Such code runs with the rights of the console. A service that runs some is started only when an owner of the team said
so, and only with what was trusted: the location that the files came from, and the code files by their SHA-256. Which
files are code is decided by datasets/inspect/executable.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from console import roles
from console.accounts.principal import Principal
from console.errors import Conflict
from datasets import states, wiring
from datasets.models import Dataset, Round, Trust, TrustedCopy
from datasets.sources.paths import joined

FIELDS = ("trusted_by", "trusted_at", "updated_at")


def trust(dataset: Dataset, *, actor: Principal, seen: str | None = None, later_changes: bool = False) -> Dataset:
    """Trust the code at the dataset's location: what is copied by now, and the first copy of each other path.

    `later_changes` covers code that changes at the location afterwards. `seen`: what `digest` was when the actor looked
    at the dataset; raises Conflict when something else would be trusted by now.
    """
    actor.require(dataset.team, roles.OWNER)
    copied = {copy: files_of(*copy) for copy in copies_of(dataset)}  # reads the disk: before the lock
    with transaction.atomic():
        _lock(dataset)
        if seen is not None and seen != digest(dataset):
            raise Conflict(
                f"Dataset {dataset.name} was changed, or copied again, since you looked at it. It was not trusted.",
                hint="Review it again: trust covers only what you reviewed.",
            )
        given, created = Trust.objects.get_or_create(
            dataset=dataset, location=dataset.location, defaults={"later_changes": later_changes}
        )
        if given.later_changes != later_changes:
            created = True
            given.later_changes = later_changes
            given.save(update_fields=["later_changes"])
        for copy in copies_of(dataset):
            created |= _record(given, copy[0], copied.get(copy) or files_of(*copy))
        if created:  # who trusted it first stays on record when nothing new is trusted
            _record_actor(dataset, actor)
    return dataset


def withdraw(dataset: Dataset, *, actor: Principal) -> Dataset:
    """Take all trust in the dataset back. Services that run code go on until they are stopped, changed or scaled up."""
    actor.require(dataset.team, roles.OWNER)
    with transaction.atomic():
        _lock(dataset)
        if Trust.objects.filter(dataset=dataset).delete()[0]:
            _record_actor(dataset, actor)
    return dataset


def digest(dataset: Dataset) -> str:
    """Digest of what would be trusted now: the location, and what was copied last."""
    return digests([dataset])[dataset.pk]


def digests(datasets: Sequence[Dataset]) -> dict[int, str]:
    """By primary key; one query for all of them."""
    done = Round.objects.filter(dataset__in=datasets, state=states.DONE).order_by()
    last = dict(done.values_list("dataset").annotate(Max("pk")))
    content = {dataset.pk: [dataset.pk, dataset.location, last.get(dataset.pk)] for dataset in datasets}
    return {pk: hashlib.sha256(json.dumps(one).encode()).hexdigest() for pk, one in content.items()}


def trust_in(dataset: Dataset | None, location: str) -> Trust | None:
    """The trust that covers files copied from `location`, wherever the dataset points to now."""
    if dataset is None or not location:
        return None
    trust: Trust | None = Trust.objects.filter(dataset=dataset, location=location).first()
    return trust


def untrusted_files(trust: Trust, path: str, tree: str, code: Iterable[str]) -> list[str]:
    """Code files of a tree in the store that differ from what was trusted.

    The first copy of a path is recorded, and is what counts from then on. `code`: paths relative to the tree.
    """
    if trust.later_changes:
        return []
    files = files_of(path, tree)
    if not files:
        return sorted(code)
    # Settings are among `code` by a name that is no file.
    running = {name: files[name] for name in (joined(path, one) for one in code) if name in files}
    with transaction.atomic():
        if Trust.objects.select_for_update().filter(pk=trust.pk).first() is None:
            return sorted(running)  # withdrawn meanwhile
        recorded = list(trust.copies.all())
        covered = {name for name in running if any(_is_within(name, copy.path) for copy in recorded)}
        strange = [name for name in covered if not any(copy.files.get(name) == running[name] for copy in recorded)]
        if not strange and covered != running.keys():
            _record(trust, path, files)
    return sorted(strange)


def copies_of(dataset: Dataset) -> list[tuple[str, str]]:
    """Path and tree of the newest copy of each path from the dataset's present location."""
    done = Round.objects.filter(dataset=dataset, state=states.DONE, location=dataset.location).exclude(tree="")
    newest: dict[str, str] = {}
    for path, tree in done.order_by("-id").values_list("path", "tree"):
        newest.setdefault(path, tree)
    return sorted(newest.items())


def files_of(path: str, tree: str) -> dict[str, str]:
    """SHA-256 by path in the dataset; {} for a tree that was evicted."""
    manifest = wiring.store().manifest(tree)
    return {joined(path, file.path): file.sha256 for file in manifest.files} if manifest else {}


def _record(trust: Trust, path: str, files: Mapping[str, str]) -> bool:
    """False when the files were recorded before. Files that were trusted once stay so: a service may be rolled back."""
    if not files or any(copy.files == files for copy in trust.copies.filter(path=path)):
        return False
    TrustedCopy.objects.create(trust=trust, path=path, files=files)
    return True


def _lock(dataset: Dataset) -> None:
    """Nobody changes the row until the transaction ends; what the caller read of it may be old."""
    Dataset.objects.select_for_update().filter(pk=dataset.pk).first()
    dataset.refresh_from_db()


def _record_actor(dataset: Dataset, actor: Principal) -> None:
    dataset.trusted_by, dataset.trusted_at = actor.label, timezone.now()
    dataset.save(update_fields=FIELDS)


def _is_within(name: str, folder: str) -> bool:
    return not folder or name.startswith(f"{folder}/")
