"""Celery's door to the actions. The arguments and names are a contract with messages that are already under way."""

from __future__ import annotations

from celery import shared_task

from console.alone import alone
from datasets.jobs import healing, housekeeping, pruning, rounds


# Acknowledged as it begins: a worker that loses redis while a message is not acknowledged ends as soon as its tasks do,
# and takes no other one until then, which may be hours. What is lost with a worker, the sweep hands out again.
@shared_task(name="datasets.run_round", acks_late=False)
def run_round(round_pk: int) -> None:
    rounds.run(round_pk)


@shared_task(name="datasets.sweep")
@alone
def sweep() -> None:
    rounds.sweep()


@shared_task(name="datasets.evict_unused")
@alone
def evict_unused() -> None:
    housekeeping.evict_unused()


@shared_task(name="datasets.prune_rounds")
@alone
def prune_rounds() -> None:
    pruning.prune()


@shared_task(name="datasets.settle")
@alone
def settle() -> None:
    """What a worker that was killed left unflushed."""
    housekeeping.settle()


@shared_task(name="datasets.release_mounts")
@alone
def release_mounts() -> None:
    housekeeping.release_mounts()


# Reading may take hours, and what is asked for is written down: nothing is delivered again because of the time.
@shared_task(name="datasets.reverify", acks_late=False)
@alone
def reverify() -> None:
    healing.reverify()


@shared_task(name="datasets.verify_asked", acks_late=False)
@alone
def verify_asked() -> None:
    """The trees that an administrator asked about, or that a worker which was killed had not read yet."""
    healing.verify_asked()
