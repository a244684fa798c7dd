"""The store keeps what a service may need, and lets go of the rest after a while."""

from __future__ import annotations

import os
from collections.abc import Callable

from console.accounts.principal import Principal
from datasets import wiring
from datasets.actions.rounds import request_round
from datasets.jobs import housekeeping
from datasets.models import Dataset, Round
from datasets.queries import store as store_queries
from services.models import Service
from tests.services.world import preheat_all


def age_all() -> None:
    for tree in (wiring.store().root / "trees").iterdir():
        os.utime(tree, (0, 0))


def test_a_tree_of_a_service_stays_however_old(ready: Callable[..., Service]) -> None:
    service = ready()
    age_all()
    assert service.serving is not None
    assert service.serving.tree not in housekeeping.evict_unused()
    assert wiring.tree(service.serving.tree) is not None


def test_the_store_says_which_services_need_a_tree(ready: Callable[..., Service]) -> None:
    service = ready()
    assert service.serving is not None
    # The store may hold trees of other tests.
    (tree,) = (row for row in store_queries.read().trees if row.digest == service.serving.tree)
    assert (tree.needed, tree.users) == (True, (service.name,))


def test_a_tree_that_nobody_needs_goes_after_a_while(dataset: Dataset, actor: Principal) -> None:
    request_round(dataset, "echo", actor=actor)
    preheat_all()
    digest = Round.objects.get().tree
    assert digest not in housekeeping.evict_unused()
    age_all()
    assert digest in housekeeping.evict_unused()
    assert wiring.tree(digest) is None
