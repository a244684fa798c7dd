"""A round is cancelled or paused soon, also when its server does not say a word; nothing is left of a cancelled one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from console.accounts.principal import SYSTEM
from datasets import states
from datasets.actions.rounds import cancel, pause
from datasets.jobs import rounds
from datasets.jobs.leases import Lease
from tests.integration.datasets.faults.worker import MIB, FaultyWorker
from tests.servers.proxy import Proxy
from tests.servers.s3 import Bucket

pytestmark = [pytest.mark.django_db, pytest.mark.integration, pytest.mark.xdist_group("s3")]
STREAMS = 4


@pytest.mark.parametrize("verb", [cancel, pause])
def test_a_round_whose_streams_all_wait_for_a_silent_server_is_stopped(
    worker: FaultyWorker, bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, verb: Callable[..., Any]
) -> None:
    bucket.put("m/large.bin", os.urandom(4 * STREAMS * MIB))
    bucket.put("m/small.bin", os.urandom(64 << 10))
    proxy.hold("/m/", 4000)  # bytes: the headers come, and little more
    job = worker.request("m")
    check, verbs = Lease.check, [verb]

    def stop_once_all_are_held(lease: Lease) -> None:
        if proxy.held >= STREAMS and verbs:
            verbs.pop()(job, actor=SYSTEM)
        check(lease)

    monkeypatch.setattr(Lease, "check", stop_once_all_are_held)
    stopped = worker.attempt(job)
    assert proxy.held <= STREAMS + 1  # no stream gave the server up, and asked again
    if verb is pause:
        assert stopped.state == states.PAUSED
        stopped = cancel(job, actor=SYSTEM)
    assert stopped.state == states.CANCELLED
    rounds.sweep()
    assert worker.store.staging_names() == []
    worker.assert_none()
