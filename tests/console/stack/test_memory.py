"""A worker that is ready is not looked through again and again by the garbage collector."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import gc, sys
from unittest.mock import Mock
from celery.signals import worker_ready
import console.celery
assert gc.get_freeze_count() == 0
console.celery.app.amqp.queues.select([sys.argv[1]])
worker_ready.send(sender=Mock(app=console.celery.app))
assert gc.get_freeze_count() > 10_000
assert ("datasets.sources.s3.source" in sys.modules) == (sys.argv[1] == "preheat")
assert len(gc.get_objects()) < 1000
assert gc.isenabled() and gc.get_threshold()[0] == 50_000
"""


@pytest.mark.parametrize("queue", ["default", "preheat"])
def test_what_is_loaded_when_a_worker_is_ready_is_kept_out_of_the_collectors_sight(queue: str) -> None:
    """In a process of its own: nothing else is to be frozen by a test."""
    subprocess.run([sys.executable, "-c", SCRIPT, queue], check=True, timeout=60)
