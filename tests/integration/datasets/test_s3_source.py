"""The source of buckets against a real S3 server, SeaweedFS."""

from __future__ import annotations

import hashlib
import time
import zlib
from base64 import b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from awscrt import checksums as crt

from datasets.errors import SourceChanged, SourceError
from datasets.sources import registry
from datasets.sources.base import Site
from datasets.sources.s3.source import S3Source
from datasets.specs import Plan
from tests.servers.s3 import PART, Bucket, Server

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("s3")]
SITE = Site(endpoints=("127.0.0.1",))
MIB = 1 << 20
LARGE = bytes(range(256)) * (33 * MIB // 256)
TREE = {
    "svm/config.pbtxt": b'name: "svm"\n',
    "svm/1/model.py": b"print('hello')\n",
    "svm/1/empty.bin": b"",
    "svm/1/we ird/\u00fc+&%=?#;,~'().bin": b"odd",
    "svm/\u6a21\u578b.onnx": bytes(range(256)) * 64,
    "svm-other/config.pbtxt": b"not this one",
}


def source(bucket: Bucket, /, **options: str) -> S3Source:
    bucket_source = registry.make("s3", {**bucket.options, **options}, SITE)
    assert isinstance(bucket_source, S3Source)
    return bucket_source


def contents(source_of_bucket: S3Source, plan: Plan, path: str) -> dict[str, bytes]:
    content_of = {}
    for file in plan.files:
        with source_of_bucket.open(file, path) as body:
            content_of[file.path] = body.read() or b""
    return content_of


def below(tree: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    return {key.removeprefix(f"{folder}/"): value for key, value in tree.items() if key.startswith(f"{folder}/")}


def test_a_folder_of_a_bucket_arrives_as_it_is(bucket: Bucket) -> None:
    bucket.put_all(TREE)
    bucket.put("svm/2/", b"")
    s3_source = source(bucket)
    plan = s3_source.plan("svm")
    assert plan.empty_dirs == ("2",)
    assert [file.path for file in plan.files] == sorted(below(TREE, "svm"))
    assert contents(s3_source, plan, "svm") == below(TREE, "svm")
    assert contents(s3_source, s3_source.plan(""), "") == TREE
    for key, content in TREE.items():
        assert (s3_source.entry(key).size, s3_source.read(key, 1 << 20)) == (len(content), content)


def test_a_prefix_is_the_root_of_the_dataset(bucket: Bucket) -> None:
    bucket.put_all({f"team/models/{key}": value for key, value in TREE.items()})
    bucket.put("team/secret.txt", b"not this one")
    s3_source = source(bucket, prefix="/team/models/")
    assert contents(s3_source, s3_source.plan("svm"), "svm") == below(TREE, "svm")
    assert {entry.path for entry in s3_source.list("").entries} == {"svm", "svm-other"}
    with pytest.raises(SourceError):
        s3_source.read("../secret.txt", 10)


def test_one_file_is_a_plan_of_one_also_in_a_folder_of_its_name(bucket: Bucket) -> None:
    bucket.put_all({"m/a.onnx": b"alone", "twice/twice": b"inside"})
    s3_source = source(bucket)
    alone = s3_source.plan("m/a.onnx")
    assert [file.path for file in alone.files] == ["a.onnx"]
    assert contents(s3_source, alone, "m/a.onnx") == {"a.onnx": b"alone"}
    assert contents(s3_source, s3_source.plan("twice"), "twice") == {"twice": b"inside"}


def test_the_plan_has_the_checksum_that_the_server_knows(bucket: Bucket) -> None:
    bucket.put("m/etag.bin", LARGE)
    bucket.put_with_sha256("m/sha256.bin", LARGE)
    crc = b64encode(zlib.crc32(LARGE).to_bytes(4, "big")).decode()
    bucket.put("m/crc32.bin", LARGE, ChecksumCRC32=crc)
    bucket.put_parts("m/parts.bin", [LARGE[:PART], LARGE[PART:]])
    bucket.put_parts("m/crc64.bin", [LARGE[:PART], LARGE[PART:]], checksum="CRC64NVME")
    bucket.put("m/small.bin", b"small")
    checks = {file.path: file.check for file in source(bucket).plan("m").files}
    assert checks == {
        "etag.bin": f"md5:{hashlib.md5(LARGE).hexdigest()}",
        "crc32.bin": f"crc32:{zlib.crc32(LARGE):08x}",
        "sha256.bin": f"sha256:{hashlib.sha256(LARGE).hexdigest()}",
        "parts.bin": "",
        "small.bin": "",
        "crc64.bin": f"crc64nvme:{crt.crc64nvme(LARGE):016x}",
    }


def test_a_file_that_is_replaced_or_removed_after_the_plan_is_a_change(bucket: Bucket) -> None:
    bucket.put_all({"m/a": b"first", "m/b": b"first", "m/c": b"first"})
    s3_source = source(bucket)
    plan = s3_source.plan("m")
    bucket.put("m/a", b"other")
    bucket.remove("m/b")
    for name in ("a", "b"):
        with pytest.raises(SourceChanged, match=f"^{name} changed"):
            s3_source.open(next(file for file in plan.files if file.path == name), "m")
    assert contents(s3_source, Plan(plan.files[2:], ""), "m") == {"c": b"first"}
    assert s3_source.plan("m").fingerprint != plan.fingerprint


def test_a_large_file_of_a_bucket_with_versions_is_read_as_planned_after_it_was_replaced(s3_server: Server) -> None:
    bucket = s3_server.bucket(versioned=True)
    planned = bucket.put("m/large.bin", LARGE)
    s3_source = source(bucket)
    plan = s3_source.plan("m")
    assert plan.files[0].version.split(" ")[1] == planned
    bucket.put("m/large.bin", b"another")
    with s3_source.open(plan.files[0], "m", 10, 20) as body:
        assert body.read() == LARGE[10:30]
    bucket.remove("m/large.bin")
    with s3_source.open(plan.files[0], "m", 10, 20) as body:
        assert body.read() == LARGE[10:30]
    with pytest.raises(SourceError, match="There are no files in m"):
        s3_source.plan("m")


def test_the_same_tree_elsewhere_has_another_fingerprint(s3_server: Server, bucket: Bucket) -> None:
    other = s3_server.bucket()
    for each in (bucket, other):
        each.put_all({"m/a": b"1", "n/a": b"1"})
    s3_source = source(bucket)
    assert s3_source.plan("m").fingerprint == s3_source.plan("m").fingerprint == source(bucket).plan("n").fingerprint
    assert source(other).plan("m").fingerprint != s3_source.plan("m").fingerprint


def test_a_name_that_is_file_and_folder_is_refused(bucket: Bucket) -> None:
    bucket.put_all({"m/a": b"1", "m/a/b": b"1"})
    with pytest.raises(SourceError, match=r"^a is a file and a folder at once"):
        source(bucket).plan("m")
    with pytest.raises(SourceError, match=r"^m/a is a file and a folder at once"):
        source(bucket).plan("m/a")


def test_what_is_archived_or_under_a_key_of_its_own_is_refused_by_name(bucket: Bucket) -> None:
    bucket.put("archive/a.bin", b"1", StorageClass="GLACIER")
    with pytest.raises(SourceError, match=r"archive/a\.bin is archived \(GLACIER\)"):
        source(bucket).plan("archive")
    bucket.put("locked/a.bin", b"1" * 100, SSECustomerAlgorithm="AES256", SSECustomerKey=b"k" * 32)
    s3_source = source(bucket)
    with pytest.raises(SourceError, match=r"answered 400 .*SSE-C"):
        s3_source.open(s3_source.plan("locked").files[0], "locked")


def test_browsing_goes_a_page_at_a_time_and_misses_nothing(bucket: Bucket) -> None:
    names = [f"m/{number:04}.bin" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: bucket.put(name, b""), names))
    bucket.put("m/sub/x", b"xyz")
    s3_source = source(bucket)
    seen, after = [], ""
    while True:
        page = s3_source.list("m", after=after, limit=200)
        assert len(page.entries) <= 200
        seen += [entry.path for entry in page.entries]
        if not (after := page.next):
            break
    assert sorted(seen) == sorted([*names, "m/sub"])
    assert len(s3_source.plan("m").files) == 1101  # more than one page of the server
    sub = s3_source.list("m/sub")
    assert [(entry.path, entry.is_dir, entry.size) for entry in sub.entries] == [("m/sub/x", False, 3)]
    assert (sub.total, sub.next) == (1, "")
    assert sub.entries[0].modified == s3_source.entry("m/sub/x").modified
    assert abs(sub.entries[0].modified - time.time()) < 600


def test_entries_say_what_lies_there(bucket: Bucket) -> None:
    bucket.put_all({"m/a.txt": b"hello", "m/none": b""})
    s3_source = source(bucket)
    assert s3_source.entry("").is_dir and s3_source.entry("m").is_dir
    assert (s3_source.entry("m/a.txt").size, s3_source.entry("m/a.txt").is_dir) == (5, False)
    assert (s3_source.read("m/a.txt", 3), s3_source.read("m/a.txt", 99), s3_source.read("m/none", 5)) == (
        b"hel",
        b"hello",
        b"",
    )
    for ask in (s3_source.entry, s3_source.list, s3_source.plan, lambda path: s3_source.read(path, 5)):
        with pytest.raises(SourceError, match=r"no files in m/no|There is no m/no"):
            ask("m/no")
    with pytest.raises(SourceError, match=r"m/a\.txt is a file, not a folder"):
        s3_source.list("m/a.txt")


def test_the_check_says_what_was_reached(bucket: Bucket) -> None:
    s3_source = source(bucket)
    server = bucket.server.endpoint.removeprefix("http://")
    assert s3_source.check() == f"{bucket.name} at {server} can be listed: there is nothing in it yet."
    bucket.put("m/a", b"1")
    assert s3_source.check() == f"{bucket.name} at {server} can be read: 1 object."
    assert source(bucket, prefix="m").check().startswith(f"{bucket.name}/m/ at")


def test_the_check_says_what_is_wrong(s3_server: Server, bucket: Bucket) -> None:
    bucket.put("m/a", b"1")
    key, secret = s3_server.lister
    wrong = {
        "There is no bucket no-such-bucket at": {"bucket": "no-such-bucket"},
        "does not know the access key": {"access_key": "AKIDNOBODY"},
        "The secret key does not fit the access key": {"secret_key": "wrong"},
        "does not let this access key read m/a. It needs s3:ListBucket": {"access_key": key, "secret_key": secret},
        "does not let anybody who gives no access key read the bucket": {"access_key": "", "secret_key": ""},
    }
    for words, options in wrong.items():
        with pytest.raises(SourceError) as refused:
            source(bucket, **options).check()
        assert words in str(refused.value)
        assert secret not in str(refused.value)


def test_a_public_bucket_needs_no_keys(s3_server: Server) -> None:
    bucket = s3_server.bucket(public=True)
    bucket.put_all({"m/a": b"for all"})
    s3_source = source(bucket, access_key="", secret_key="")
    assert s3_source.check().endswith("can be read: 1 object.")
    assert contents(s3_source, s3_source.plan("m"), "m") == {"a": b"for all"}
