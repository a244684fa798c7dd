"""Bits that flip on the wire: noticed by what the server says of its objects, and fetched again, or told."""

from __future__ import annotations

import os

import pytest

from tests.integration.datasets.faults.outcome import assert_none, assert_whole
from tests.integration.preheat.plane import MIB, Plane, is_done
from tests.servers.proxy import Proxy
from tests.servers.s3 import PART, Bucket

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("s3")]


def a_model(bucket: Bucket) -> dict[str, bytes]:
    """Each object is known to its server by another checksum."""
    parts = [os.urandom(4 * PART) for _ in range(2)]
    contents = {
        "in-parts.bin": b"".join(parts),
        "large.bin": os.urandom(33 * MIB),
        "md5.bin": os.urandom(64 << 10),
        "sha256.bin": os.urandom(64 << 10),
    }
    bucket.put_parts("m/in-parts.bin", parts, checksum="CRC64NVME")
    bucket.put("m/large.bin", contents["large.bin"])
    bucket.put("m/md5.bin", contents["md5.bin"])
    bucket.put_with_sha256("m/sha256.bin", contents["sha256.bin"])
    return contents


def test_a_bit_that_flips_once_is_noticed_and_the_file_comes_again(plane: Plane, bucket: Bucket, proxy: Proxy) -> None:
    contents = a_model(bucket)
    proxy.flip("/m/in-parts.bin", 3 * MIB)
    proxy.flip("/m/large.bin", 100_000)
    proxy.flip("/m/md5.bin", 30_000)
    proxy.flip("/m/sha256.bin", 30_000)
    plane.worker()
    plane.beat()
    pk = plane.ask("m")
    assert_whole(plane, plane.wait(pk, is_done, 90), contents)
    assert proxy.flipped == 4


@pytest.mark.parametrize("name", ["in-parts.bin", "large.bin", "md5.bin"])
def test_bits_that_flip_each_time_end_in_a_clear_message(plane: Plane, bucket: Bucket, proxy: Proxy, name: str) -> None:
    a_model(bucket)
    proxy.flip(f"/m/{name}", 30_000, times=1000)
    plane.worker()
    plane.beat()
    pk = plane.ask("m")
    row = plane.ended(pk)
    assert row["state"] == "FAILED"
    assert f"{name} arrived damaged: its bytes are not what the source says they are." in row["message"]
    assert "Given up after 5 attempts" in row["message"]
    assert_none(plane)
