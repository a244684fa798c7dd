"""Puts work on the queue by task name, once the transaction is committed.

A message is a hint, the row is the truth: when the broker is away a sweep finds the row. So nothing here raises because
of the broker, and nobody waits for it longer than PATIENCE.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from django.db import transaction

from console.celery import app

PATIENCE = 1.0
"""Seconds that a request waits for the broker."""
EXPIRES = 60.0
"""Seconds after which a message is useless: the sweep has done the work."""

logger = logging.getLogger(__name__)


def on_commit(task: str, *args: Any, expires: float | None = EXPIRES) -> None:
    """Send the task once the open transaction is committed; at once outside a transaction."""
    transaction.on_commit(lambda: send(task, args, expires))


def send(task: str, args: tuple[Any, ...], expires: float | None) -> None:
    # A broker that accepts and then says nothing would hold a page for its socket timeout: hence the thread.
    sender = threading.Thread(target=_publish, args=(task, args, expires), name=f"enqueue {task}", daemon=True)
    sender.start()
    sender.join(PATIENCE)
    if sender.is_alive():
        logger.warning("The broker has not taken %s%r yet; the sweep will find the work if it never does.", task, args)


def _publish(task: str, args: tuple[Any, ...], expires: float | None) -> None:
    try:
        app.send_task(task, args=args, retry=False, expires=expires)
    except Exception as error:  # the edge of a thread: kombu raises what each transport likes
        logger.warning("The broker is away, %s%r waits for the sweep: %s", task, args, error)
