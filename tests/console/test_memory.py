"""A worker that is ready is not looked through again and again by the garbage collector."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, sys
from celery.signals import worker_ready
import console.celery
assert gc.get_freeze_count() == 0
worker_ready.send(sender=None)
assert gc.get_freeze_count() > 10_000
assert "datasets.sources.s3" in sys.modules
assert len(gc.get_objects()) < 1000
assert gc.isenabled() and gc.get_threshold()[0] == 10_000
"""


def test_what_is_loaded_when_a_worker_is_ready_is_kept_out_of_the_collectors_sight() -> None:
    """In a process of its own: nothing else is to be frozen by a test."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=60)
