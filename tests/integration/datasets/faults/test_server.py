"""Servers that go away and come back, connections that stall or drip, objects that change while they are copied."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from datasets.models import Round
from datasets.preheat.copying.copy import PIECE
from datasets.sources.net.client import Web
from datasets.sources.s3 import source as s3
from tests.integration.datasets.faults.worker import HEADERS, MIB, FaultyWorker
from tests.integration.preheat.plane import wait_until
from tests.servers.proxy import Proxy
from tests.servers.s3 import Bucket

pytestmark = [pytest.mark.django_db, pytest.mark.integration, pytest.mark.xdist_group("s3")]


def put(bucket: Bucket, contents: dict[str, bytes]) -> int:
    """Below `m`; how many bytes."""
    bucket.put_all({f"m/{path}": content for path, content in contents.items()})
    return sum(map(len, contents.values()))


def copy_during(worker: FaultyWorker, change: Callable[[], None]) -> Round:
    """The round that copied `m` while `change` ran."""
    with ThreadPoolExecutor(1) as beside:
        changing = beside.submit(change)
        done = worker.finish(worker.request("m"))
        changing.result()
    return done


def test_a_server_that_is_killed_midway_and_comes_back(worker: FaultyWorker, bucket: Bucket, proxy: Proxy) -> None:
    contents = {"large.bin": os.urandom(48 * MIB), **{f"{n}.bin": os.urandom(MIB) for n in range(32)}}
    size = put(bucket, contents)
    began, held = proxy.passed, proxy.hold_all(size // 3)

    def restart() -> None:
        assert held.begun.wait(60)
        bucket.server.kill()
        held.cut()
        worker.assert_none()
        bucket.server.start_again()

    done = copy_during(worker, restart)
    worker.assert_whole(done, contents)
    assert proxy.passed - began <= size + s3.S3Source.streams * PIECE
    assert done.bytes_copied <= size + s3.S3Source.streams * PIECE


def test_connections_that_stall_or_drip_are_left_and_only_their_pieces_come_again(
    worker: FaultyWorker, bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "Web", partial(Web, stall=5.0, window=5.0))
    contents = {
        "large.bin": os.urandom(3 * PIECE),
        "stalls.bin": os.urandom(64 << 10),
        "drips.bin": os.urandom(64 << 10),
        "other.bin": b"other",
    }
    size = put(bucket, contents)
    holds = [
        proxy.hold("/m/large.bin", MIB),
        proxy.hold("/m/stalls.bin", 2000),
        proxy.hold("/m/drips.bin", drip=True),  # from the first byte of the headers on
    ]

    def pass_on() -> None:
        wait_until(lambda: proxy.held >= 5)  # three pieces and two small files
        for hold in holds:
            hold.let_others_pass()

    done = copy_during(worker, pass_on)
    worker.assert_whole(done, contents)
    assert done.attempts == 0  # the streams themselves try again
    assert done.bytes_copied <= size + 3 * 2 * MIB + (128 << 10)
    assert proxy.held == 5


@pytest.mark.parametrize("after", [24 * MIB, 12 * MIB, 0, None], ids=["longer", "shorter", "empty", "gone"])
def test_an_object_that_is_replaced_midway_is_copied_as_it_is_then(
    worker: FaultyWorker, bucket: Bucket, proxy: Proxy, after: int | None
) -> None:
    contents = {"large.bin": os.urandom(20 * MIB), **{f"{n}.bin": os.urandom(MIB) for n in range(8)}}
    size = put(bucket, contents)
    began, held = proxy.passed, proxy.hold("/m/large.bin", 2 * MIB)

    def replace() -> None:
        wait_until(lambda: proxy.held >= 3)  # pieces of it are under way
        if after is None:
            bucket.remove("m/large.bin")
            del contents["large.bin"]
        else:
            contents["large.bin"] = os.urandom(after)
            bucket.put("m/large.bin", contents["large.bin"])
        held.cut()

    done = copy_during(worker, replace)
    worker.assert_whole(done, contents)
    assert done.attempts == 0
    # No other byte came again.
    assert proxy.passed - began <= size + (after or 0) + HEADERS
