"""Servers that go away and come back, connections that stall or drip, objects that change while they are copied."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from datasets.preheat.copying.copy import PIECE
from datasets.sources.s3.source import S3Source
from tests.integration.datasets.faults.outcome import HEADERS, assert_none, assert_whole, point
from tests.integration.preheat.plane import MIB, Plane, is_done, wait_until
from tests.servers.proxy import Proxy
from tests.servers.s3 import Bucket, Server, start_s3

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("s3")]


@pytest.fixture
def own_server() -> Iterator[Server]:
    """One that a test may kill."""
    with start_s3() as server:
        yield server


def put(bucket: Bucket, contents: dict[str, bytes]) -> int:
    """Below `m`; how many bytes."""
    bucket.put_all({f"m/{path}": content for path, content in contents.items()})
    return sum(map(len, contents.values()))


def test_a_server_that_is_killed_midway_and_comes_back(plane: Plane, own_server: Server) -> None:
    bucket = own_server.bucket()
    contents = {"large.bin": os.urandom(48 * MIB), **{f"{n}.bin": os.urandom(MIB) for n in range(32)}}
    size = put(bucket, contents)
    plane.env["PREHEAT_MIB_PER_SECOND"] = "16"
    with Proxy(own_server.port) as proxy:
        point(plane, bucket, proxy)
        plane.worker()
        plane.beat()
        began = proxy.passed
        pk = plane.ask("m")
        wait_until(lambda: proxy.passed > began + size // 3)
        own_server.kill()
        time.sleep(1)
        assert_none(plane)
        own_server.start_again()
        done = plane.wait(pk, is_done, 120)
        assert_whole(plane, done, contents)
        assert proxy.passed - began <= size + S3Source.streams * PIECE
        assert done["bytes_copied"] <= size + S3Source.streams * PIECE


def test_connections_that_stall_or_drip_are_left_and_only_their_pieces_come_again(
    plane: Plane, bucket: Bucket, proxy: Proxy
) -> None:
    contents = {
        "large.bin": os.urandom(3 * PIECE),
        "stalls.bin": os.urandom(64 << 10),
        "drips.bin": os.urandom(64 << 10),
        "other.bin": b"other",
    }
    size = put(bucket, contents)
    plane.make()
    stalled = [proxy.hold("/m/large.bin", MIB), proxy.hold("/m/stalls.bin", 2000)]
    dripping = proxy.hold("/m/drips.bin", drip=True)  # from the first byte of the headers on
    plane.worker()
    plane.beat()
    pk = plane.ask("m")
    began = time.monotonic()
    wait_until(lambda: proxy.held >= 5)  # three pieces and two small files
    for over in (*stalled, dripping):
        over.let_others_pass()
    done = plane.wait(pk, is_done)
    assert 25 < time.monotonic() - began < 100
    assert_whole(plane, done, contents)
    assert done["attempts"] == 0  # the streams themselves try again
    assert done["bytes_copied"] <= size + 3 * 2 * MIB + (128 << 10)
    assert proxy.held == 5


@pytest.mark.parametrize("after", [48 * MIB, 20 * MIB, 0, None], ids=["longer", "shorter", "empty", "gone"])
def test_an_object_that_is_replaced_midway_is_copied_as_it_is_then(
    plane: Plane, bucket: Bucket, proxy: Proxy, after: int | None
) -> None:
    contents = {"large.bin": os.urandom(40 * MIB), **{f"{n}.bin": os.urandom(MIB) for n in range(8)}}
    size = put(bucket, contents)
    plane.make()
    held = proxy.hold("/m/large.bin", 2 * MIB)
    began = proxy.passed
    plane.worker()
    plane.beat()
    pk = plane.ask("m")
    wait_until(lambda: proxy.held >= 3)  # each piece of it is under way
    if after is None:
        bucket.remove("m/large.bin")
        del contents["large.bin"]
    else:
        contents["large.bin"] = os.urandom(after)
        bucket.put("m/large.bin", contents["large.bin"])
    held.cut()
    done = plane.wait(pk, is_done, 90)
    assert_whole(plane, done, contents)
    assert done["attempts"] == 0
    # Of all others nothing came again.
    assert proxy.passed - began <= size + (after or 0) + HEADERS
