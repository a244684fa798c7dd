"""Lets go of the rows of rounds that ended long ago, with their logs. What they moved stays counted.

Kept are of each folder the newest rounds that ended, and whatever is young or named elsewhere: the last copy of a
folder, the last one that made a tree of the store (it is healed from there), and what another app says that it needs.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from datasets import states, wiring
from datasets.models import Dataset, Round
from datasets.querysets import RoundQuerySet
from datasets.signals import rounds_wanted

NEWEST = 20
"""Rounds that ended which each folder keeps however old: as many as the page of a dataset lists of all of them."""
YOUNG = timedelta(days=30)
"""How long every round stays: longer than anybody looks for why a copy failed, or goes on with what it left."""
BATCH = 500
"""Rounds that one transaction removes: short enough for the others that wait to write."""


def prune() -> int:
    """Removes rounds of this node, a batch at a time. How many."""
    removed = after = 0
    while batch := list(_old().filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        after = batch[-1]
        removed += _remove(set(batch) - _needed(set(batch)))
    return removed


def _old() -> RoundQuerySet:
    here = Round.objects.filter(node=settings.NODE_NAME).order_by()
    ended = here.filter(state__in=states.TERMINAL)
    rank = Window(RowNumber(), partition_by=["dataset", "path"], order_by="-id")
    many = ended.annotate(rank=rank).filter(rank__gt=NEWEST).values("pk")
    copies = here.filter(state=states.DONE)
    last = copies.values("dataset", "path").annotate(last=Max("pk")).values("last")
    in_store = copies.filter(tree__in=[tree.name for tree in wiring.store().children("trees")])
    sources = in_store.values("dataset", "path", "tree").annotate(last=Max("pk")).values("last")
    old: RoundQuerySet = ended.filter(pk__in=many, finished_at__lt=timezone.now() - YOUNG)
    return old.exclude(pk__in=last).exclude(pk__in=sources)


def _needed(pks: set[int]) -> set[int]:
    needed: set[int] = set()
    for _, answer in rounds_wanted.send(None, rounds=pks):
        reply: Any = answer or ()
        needed |= set(reply)
    return needed


def _remove(pks: set[int]) -> int:
    with transaction.atomic():
        # Locked, so that of two that prune at once only one counts what a round moved.
        rows = list(Round.objects.select_for_update().filter(pk__in=pks).values_list("pk", "dataset", "bytes_copied"))
        moved: Counter[int] = Counter()
        for _, dataset, count in rows:
            moved[dataset] += count
        for dataset, count in moved.items():
            Dataset.objects.filter(pk=dataset).update(bytes_of_pruned=F("bytes_of_pruned") + count)
        Round.objects.filter(pk__in=[pk for pk, _, _ in rows]).delete()
    return len(rows)
