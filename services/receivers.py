"""What the services app does when another app says something happened. Connected in apps.py."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from console.errors import Conflict
from console.models import Team
from datasets.models import Dataset, Round
from datasets.signals import dataset_deleting, round_finished, rounds_wanted, trees_used, trees_wanted
from services import dispatch
from services.control import publishing
from services.errors import GatewayError
from services.models import Revision, Service

logger = logging.getLogger(__name__)


@receiver(post_delete, sender=Team)
def let_go_of_keys(sender: object, **kwargs: Any) -> None:
    """They went with their team."""
    transaction.on_commit(_publish_keys)


def _publish_keys() -> None:
    try:
        publishing.publish_keys()
    except GatewayError:
        logger.exception("keys of a deleted team are still at the gateway; the sweep tries again")


@receiver(round_finished)
def go_on_after_preheat(sender: object, round: Round, **kwargs: Any) -> None:
    for pk in Service.objects.filter(target__round=round).values_list("pk", flat=True):
        dispatch.reconcile(pk)


@receiver(trees_wanted)
def trees_of_revisions(sender: object, **kwargs: Any) -> set[str]:
    """Every revision's: a service may be started again, or rolled back."""
    return set(Revision.objects.exclude(tree="").values_list("tree", flat=True))


@receiver(rounds_wanted)
def rounds_of_revisions(sender: object, rounds: set[int], **kwargs: Any) -> set[int]:
    """What a revision waited for says why it failed, and how much GPU time it saved."""
    return set(Revision.objects.filter(round__in=rounds).values_list("round", flat=True))


@receiver(trees_used)
def services_with_trees(sender: object, **kwargs: Any) -> dict[str, set[str]]:
    services_by_tree: dict[str, set[str]] = {}
    for digest, name in Revision.objects.exclude(tree="").order_by().values_list("tree", "service__name").distinct():
        services_by_tree.setdefault(digest, set()).add(name)
    return services_by_tree


@receiver(dataset_deleting)
def refuse_while_used(sender: object, dataset: Dataset, **kwargs: Any) -> None:
    """Raises Conflict: a service that waits for files, or may need them again, must not lose where they come from."""
    users = Service.objects.filter(target__dataset=dataset)
    names = list(users.values_list("name", flat=True)[:5])
    if names:
        raise Conflict(
            f"Dataset {dataset.name} is used by {', '.join(names)}.",
            hint="Delete those services, or have them use another dataset, first.",
        )
