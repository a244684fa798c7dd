"""Whether a team trusts the executable content of a dataset: Python models, pickles, code that model files bring.

Such content runs with the rights of the console. So a service with it is made and started only from a dataset whose
team said so: an owner, by name and date. Which content that is, is told by datasets/inspect/executable.py.
"""

from __future__ import annotations

from django.utils import timezone

from console import roles
from console.principal import Principal
from datasets.models import Dataset

FIELDS = ("trusted", "trusted_by", "trusted_at", "updated_at")


def trust(dataset: Dataset, *, actor: Principal) -> Dataset:
    """From now on services with executable content may start. Who trusted it first stays on record."""
    actor.require(dataset.team, roles.OWNER)
    if not dataset.trusted:
        dataset.trusted, dataset.trusted_by, dataset.trusted_at = True, actor.label, timezone.now()
        dataset.save(update_fields=FIELDS)
    return dataset


def withdraw(dataset: Dataset, *, actor: Principal) -> Dataset:
    """No such service starts any more. Those that run go on until they are stopped or changed."""
    actor.require(dataset.team, roles.OWNER)
    if dataset.trusted:
        dataset.trusted, dataset.trusted_by, dataset.trusted_at = False, actor.label, timezone.now()
        dataset.save(update_fields=FIELDS)
    return dataset
