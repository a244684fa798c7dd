from __future__ import annotations

import hashlib
import io
import zlib
from base64 import b64encode
from typing import cast

import pytest
from awscrt import checksums as crt

from datasets.errors import SourceDamaged
from datasets.sources.s3.checksums import Verified, said_of

CONTENT = bytes(range(256)) * 300


def b64(value: bytes) -> str:
    return b64encode(value).decode()


def raw(content: bytes) -> io.RawIOBase:
    return cast(io.RawIOBase, io.BytesIO(content))


DIGESTS = {
    "sha256": hashlib.sha256(CONTENT).digest(),
    "sha1": hashlib.sha1(CONTENT).digest(),
    "md5": hashlib.md5(CONTENT).digest(),
    "crc32": zlib.crc32(CONTENT).to_bytes(4, "big"),
    "crc32c": crt.crc32c(CONTENT).to_bytes(4, "big"),
    "crc64nvme": crt.crc64nvme(CONTENT).to_bytes(8, "big"),
}
MD5 = DIGESTS["md5"].hex()


@pytest.mark.parametrize("name", ["sha256", "sha1", "crc32", "crc32c", "crc64nvme"])
def test_a_checksum_of_the_whole_is_taken_before_the_etag(name: str) -> None:
    headers = {f"x-amz-checksum-{name}": b64(DIGESTS[name]), "etag": f'"{MD5}"'}
    assert said_of(headers) == f"{name}:{DIGESTS[name].hex()}"
    assert said_of({**headers, "x-amz-checksum-type": "FULL_OBJECT"}) == f"{name}:{DIGESTS[name].hex()}"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"etag": f'"{MD5}"'}, f"md5:{MD5}"),
        ({"etag": MD5}, f"md5:{MD5}"),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256"}, f"md5:{MD5}"),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms"}, ""),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms:dsse"}, ""),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption-customer-algorithm": "AES256"}, ""),
        ({"etag": f'"{MD5}-3"'}, ""),
        ({"etag": f'"{MD5}-3"', "x-amz-checksum-sha256": f"{b64(DIGESTS['sha256'])}-3"}, ""),
        ({"etag": f'"{MD5}-3"', "x-amz-checksum-crc32": b64(b"abcd"), "x-amz-checksum-type": "COMPOSITE"}, ""),
        ({"x-amz-checksum-crc32": "not base64!"}, ""),
        ({"x-amz-checksum-sha256": b64(b"short")}, ""),
        ({}, ""),
    ],
)
def test_only_what_is_said_of_the_whole_content_counts(headers: dict[str, str], expected: str) -> None:
    assert said_of(headers) == expected


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_a_body_is_held_against_what_was_said(algorithm: str) -> None:
    check = f"{algorithm}:{DIGESTS[algorithm].hex()}"
    size = len(CONTENT)
    assert Verified(raw(CONTENT), "a.bin", check, size).read() == CONTENT
    damaged = Verified(raw(CONTENT[:-1] + b"\0"), "a.bin", check, size)
    buffer = bytearray(1000)
    for _ in range(size // 1000):
        assert damaged.readinto(buffer) == 1000
    with pytest.raises(SourceDamaged, match=r"a\.bin arrived damaged"):  # with the last byte, not after it
        damaged.readinto(buffer)


def test_a_body_is_closed_with_its_wrapper() -> None:
    inner = raw(CONTENT)
    with Verified(inner, "a.bin", "crc32:00000000", len(CONTENT)) as body:
        body.read(10)
    assert inner.closed
