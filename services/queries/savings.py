"""GPU time that was not held because model files are prepared before anything is claimed.

A service that asks for its GPUs first would hold them while its files arrive. Here the preheat comes first, so for each
preheat round of a service that asks for GPUs this much was saved:

    GPUs of a replica x replicas x (the round's finished_at - its started_at, in seconds)

Rounds that are DONE count, each once for a service, also when several revisions of it waited for the same round; then
the most GPUs that one of them asks for count. Replicas are those that the service asks for now. Time in which a round
was paused, or waited for its next attempt, counts too: no GPU was held then either. It is a sum over what there is now:
deleting a service takes its share out, and starting a stopped one begins its count anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import QuerySet

from datasets import states as rounds
from services.models import Revision, Service


def gpu_seconds(services: QuerySet[Service]) -> Mapping[str, float]:
    """Name -> GPU-seconds, of the services that ask for GPUs. One query."""
    revisions = Revision.objects.filter(
        service__in=services,
        spec__resources__gpu__gt=0,
        round__state=rounds.DONE,
        round__started_at__isnull=False,
        round__finished_at__isnull=False,
    ).order_by()
    columns = ("service__name", "round", "spec__resources__gpu", "service__replicas")
    saved: dict[tuple[str, int], float] = {}
    for name, job, gpus, replicas, began, ended in revisions.values_list(
        *columns, "round__started_at", "round__finished_at"
    ):
        amount = gpus * replicas * max(0.0, (ended - began).total_seconds())
        saved[name, job] = max(saved.get((name, job), 0.0), amount)
    sums: dict[str, float] = {}
    for (name, _), amount in saved.items():
        sums[name] = sums.get(name, 0.0) + amount
    return sums
