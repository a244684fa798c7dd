"""Puts work on the queue by task name, once the transaction is committed.

A message is a hint, the row is the truth: when the broker is away the sweep finds the row. So nothing here raises
because of the broker, and nobody waits for it longer than PATIENCE.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import signature
from django.db import transaction

from console.celery import app

PATIENCE = 1.0
"""Seconds that a request waits for the broker."""

logger = logging.getLogger(__name__)


def run_round(round_pk: int, *, expires: float | None = None) -> None:
    """Asks a worker to go on with a round."""
    enqueue("datasets.run_round", round_pk, expires=expires)


def enqueue(name: str, *args: Any, expires: float | None = None) -> None:
    """Sends the task `name` after commit. `expires` in seconds; for what a sweep will send again anyway."""
    transaction.on_commit(lambda: _send(name, args, expires))


def _send(name: str, args: tuple[Any, ...], expires: float | None) -> None:
    if app.conf.task_always_eager:
        signature(name, args, app=app).apply_async()
        return
    # A broker that accepts and then says nothing would hold a page for its socket timeout: hence the thread.
    sender = threading.Thread(target=_publish, args=(name, args, expires), name=f"enqueue {name}", daemon=True)
    sender.start()
    sender.join(PATIENCE)
    if sender.is_alive():
        logger.warning("The broker has not taken %s%r yet; the sweep will find the work if it never does.", name, args)


def _publish(name: str, args: tuple[Any, ...], expires: float | None) -> None:
    try:
        options: dict[str, Any] = {} if expires is None else {"expires": expires}
        signature(name, args, app=app).apply_async(retry=False, **options)
    except Exception as error:  # the edge of a thread: kombu raises what each transport likes
        logger.warning("The broker is away, %s%r waits for the sweep: %s", name, args, error)
