"""Workers killed with -9, redis lost, messages delivered again, workers that race: every byte comes once, or nearly."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import pytest

from datasets.preheat.copying.copy import PIECE
from datasets.sources.s3.source import S3Source
from tests.integration.datasets.faults.outcome import HEADERS, assert_none, assert_whole
from tests.integration.preheat.plane import MIB, Plane, end, is_done, wait_until
from tests.servers.proxy import Proxy
from tests.servers.s3 import Bucket

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("s3")]
KILLS = 10
COST = S3Source.streams * PIECE
"""Bytes that one kill may cost: what each stream had fetched of its piece."""


def a_model(bucket: Bucket, large: int, small: int) -> dict[str, bytes]:
    """`large` files of 56 MiB, fetched in pieces, and `small` ones of 4 MiB."""
    contents = {f"large-{number}.bin": os.urandom(56 * MIB) for number in range(large)}
    contents |= {f"{number}/small.bin": os.urandom(4 * MIB) for number in range(small)}
    bucket.put_all({f"m/{path}": content for path, content in contents.items()})
    return contents


@pytest.mark.timeout(420)
def test_ten_kills_cost_at_most_a_piece_a_stream_each(plane: Plane, bucket: Bucket, proxy: Proxy) -> None:
    contents = a_model(bucket, large=2, small=30)
    size = sum(map(len, contents.values()))
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    plane.env["PREHEAT_MIB_PER_SECOND"] = "64"
    plane.beat()
    pk = plane.ask("m")
    began = proxy.passed
    for kill in range(KILLS):
        label = f"kill {kill} of seed {seed}"
        bytes_staged, before = plane.bytes_staged(pk), proxy.passed
        worker = plane.worker()
        # Of what is missing, so that a kill never comes too late.
        enough = before + chance.uniform(0.01, 0.7) * (size - bytes_staged)
        wait_until(lambda: proxy.passed >= enough)  # noqa: B023 (called in this turn only)
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
        proxy.drop()
        passed, kept = proxy.passed - before, plane.bytes_staged(pk) - bytes_staged
        assert plane.round(pk)["state"] == "COPYING", label
        assert_none(plane)
        assert kept >= 0, label
        assert passed - kept <= min(COST, size - bytes_staged) + HEADERS, label
    bytes_staged, before = plane.bytes_staged(pk), proxy.passed
    assert bytes_staged > 0, seed
    plane.worker()
    done = plane.wait(pk, is_done, 90)
    assert_whole(plane, done, contents)
    assert done["attempts"] == 0  # to be killed is not to fail
    assert proxy.passed - before <= size - bytes_staged + HEADERS, seed  # nothing that the journal had came again
    assert proxy.passed - began <= size + KILLS * COST, seed
    assert plane.store.staging_names() == []


def test_a_redis_that_is_killed_and_comes_back_empty_costs_nothing(plane: Plane, bucket: Bucket, proxy: Proxy) -> None:
    contents = a_model(bucket, large=1, small=10)
    size = sum(map(len, contents.values()))
    plane.env["PREHEAT_MIB_PER_SECOND"] = "16"
    workers = [plane.worker()]

    def is_done_by_now(row: dict[str, Any]) -> bool:
        if workers[-1].poll() is not None:  # it was at a short task just then, and ends; supervisord starts it again
            workers.append(plane.worker())
        return is_done(row)

    plane.beat()
    began = proxy.passed
    pk = plane.ask("m")
    wait_until(lambda: proxy.passed > began + size // 3)
    end(plane.broker)
    plane.home.redis_socket.unlink(missing_ok=True)
    wait_until(lambda: proxy.passed > began + size // 2)  # it goes on without
    plane.redis()
    assert_whole(plane, plane.wait(pk, is_done_by_now, 90), contents)
    assert proxy.passed - began <= size + HEADERS
    bucket.put("m/new.txt", b"later")
    again = plane.ask("m")  # and the next round is handed out as ever
    assert again != pk
    assert plane.wait(again, is_done_by_now)["files_total"] == len(contents) + 1


def test_two_workers_that_get_the_message_many_times_copy_once(plane: Plane, bucket: Bucket, proxy: Proxy) -> None:
    contents = a_model(bucket, large=1, small=10)
    size = sum(map(len, contents.values()))
    plane.env["PREHEAT_MIB_PER_SECOND"] = "12"
    pk = plane.ask("m")
    plane.deliver(pk, 20)
    began = proxy.passed
    for _ in range(2):
        plane.worker()
    plane.beat()
    wait_until(lambda: proxy.passed > began + size // 4)
    owner = plane.round(pk)["lease_token"]
    plane.deliver(pk, 20)
    done = plane.wait(pk, is_done)
    assert_whole(plane, done, contents)
    assert (done["lease_token"], done["bytes_copied"]) == (owner, size)
    assert proxy.passed - began <= size + HEADERS
    plane.deliver(pk, 5)  # also when it is over
    assert plane.round(pk) == done
