"""Enqueueing by task name, on commit. A broker that is away never fails a request: the sweep catches up."""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def on_commit(task: str, *args: Any) -> None:
    """Send the task once the transaction that is open now has been committed; at once when there is none."""
    transaction.on_commit(lambda: send(task, *args))


def send(task: str, *args: Any) -> bool:
    """False when the broker could not be reached."""
    try:
        current_app.send_task(task, args=args, retry=False, expires=60)
    except (OperationalError, OSError) as error:
        logger.warning("%s%r was not enqueued, the sweep will catch up: %s", task, args, error)
        return False
    return True
