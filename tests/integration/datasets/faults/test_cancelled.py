"""A round is cancelled at whatever stage it is, soon, also when its server does not say a word; nothing is left."""

from __future__ import annotations

import os
import time

import pytest

from tests.integration.datasets.faults.outcome import assert_none
from tests.integration.preheat.plane import MIB, Plane, wait_until
from tests.servers.proxy import Proxy
from tests.servers.s3 import Bucket

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("s3")]
SOON = 25
"""Seconds, on a busy machine: sooner than a stream gives up a server that says nothing (30)."""


def test_a_round_is_cancelled_while_it_waits_fetches_rests_or_waits_to_try_again(
    plane: Plane, bucket: Bucket, proxy: Proxy
) -> None:
    def cancelled(pk: int) -> None:
        assert plane.act("cancel", pk) == pk
        requested_at = time.monotonic()
        wait_until(lambda: plane.round(pk)["state"] == "CANCELLED")
        wait_until(lambda: plane.store.staging_names() == [])  # at once, or with the next sweep
        assert time.monotonic() - requested_at < SOON
        assert_none(plane)

    bucket.put_all({"m/large.bin": os.urandom(48 * MIB), "m/small.bin": os.urandom(64 << 10)})
    cancelled(plane.ask("m"))  # nobody has it: there is no worker, and its message stays

    plane.env["PREHEAT_MIB_PER_SECOND"] = "8"
    held = proxy.hold("/m/", 4000)  # bytes: the headers come, and little more
    plane.worker()
    plane.beat()
    fetching = plane.ask("m")
    wait_until(lambda: proxy.held >= 4)
    assert plane.round(fetching)["state"] == "COPYING"
    cancelled(fetching)  # every stream of it waits for a server that says nothing

    resting = plane.ask("m")
    wait_until(lambda: proxy.held >= 8)
    plane.act("pause", resting)
    wait_until(lambda: plane.round(resting)["state"] == "PAUSED", 5)
    cancelled(resting)

    held.cut()
    waiting = plane.ask("m")
    plane.wait(waiting, lambda row: row["state"] == "COPYING")
    proxy.refuses = True
    proxy.drop()
    plane.wait(waiting, lambda row: bool(row["attempts"]))
    cancelled(waiting)
