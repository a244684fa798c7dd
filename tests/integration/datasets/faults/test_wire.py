"""Bits that flip on the wire: noticed by what the server says of its objects, and fetched again, or told."""

from __future__ import annotations

import os

import pytest

from datasets import states
from datasets.jobs.rounds import ATTEMPTS
from datasets.preheat.copying import streams
from tests.integration.datasets.faults.worker import MIB, FaultyWorker
from tests.servers.proxy import Proxy
from tests.servers.s3 import PART, Bucket

pytestmark = [pytest.mark.django_db, pytest.mark.integration, pytest.mark.xdist_group("s3")]
CONTENTS = {
    "in-parts.bin": os.urandom(8 * PART),
    "large.bin": os.urandom(33 * MIB),
    "md5.bin": os.urandom(64 << 10),
    "sha256.bin": os.urandom(64 << 10),
}
"""Each is known to its server by another checksum."""


def put(bucket: Bucket, name: str) -> None:
    key, content = f"m/{name}", CONTENTS[name]
    if name == "in-parts.bin":
        bucket.put_parts(key, [content[: 4 * PART], content[4 * PART :]], checksum="CRC64NVME")
    elif name == "sha256.bin":
        bucket.put_with_sha256(key, content)
    else:
        bucket.put(key, content)


@pytest.fixture(autouse=True)
def tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is tried twice, without a pause."""
    monkeypatch.setattr(streams, "PAUSES", (0.0,))


def test_a_bit_that_flips_once_is_noticed_and_the_file_comes_again(
    worker: FaultyWorker, bucket: Bucket, proxy: Proxy
) -> None:
    for name in CONTENTS:
        put(bucket, name)
    proxy.flip("/m/in-parts.bin", 3 * MIB)
    proxy.flip("/m/large.bin", 100_000)
    proxy.flip("/m/md5.bin", 30_000)
    proxy.flip("/m/sha256.bin", 30_000)
    done = worker.finish(worker.request("m"))
    worker.assert_whole(done, CONTENTS)
    assert proxy.flipped == 4


@pytest.mark.parametrize(
    ("name", "attempts"), [("in-parts.bin", 1), ("large.bin", 1), ("md5.bin", ATTEMPTS), ("sha256.bin", 1)]
)
def test_bits_that_flip_each_time_end_in_a_clear_message(
    worker: FaultyWorker, bucket: Bucket, proxy: Proxy, name: str, attempts: int
) -> None:
    put(bucket, name)
    proxy.flip(f"/m/{name}", 30_000, times=1000)
    job = worker.request("m")
    for attempt in range(1, attempts + 1):
        row = worker.attempt(job)
        assert row.attempts == attempt
        assert f"{name} arrived damaged: its bytes are not what the source says they are." in row.message
    if attempts == ATTEMPTS:
        assert row.state == states.FAILED and "Given up after 5 attempts" in row.message
    worker.assert_none()
