"""Archives at a web server: what is in them, their bytes, and what is damaged."""

from __future__ import annotations

import gzip
import stat
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datasets.errors import SourceChanged, SourceDamaged, SourceError
from datasets.inspect.recognise import recognise
from tests.datasets.sources.archives.making import (
    ARCHIVES,
    NAMES,
    PACKINGS,
    RANDOM,
    open_archive,
    refused,
    source,
    tarred,
    zipped,
)
from tests.datasets.sources.reading import content
from tests.datasets.sources.wire import holding, serving


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_a_folder_of_its_members(name: str, ranges: bool, tmp_path: Path) -> None:
    with serving(holding({f"/{name}": ARCHIVES[name]}, ranges=ranges)) as wire:
        http_source = source(wire, name, tmp_path)
        assert http_source.check().startswith(f"http://127.0.0.1:{wire.port}/{name} can be read: an archive of ")
        assert [entry.path for entry in http_source.list("").entries] == ["deep", "svm", "empty"]
        assert [(entry.path, entry.size) for entry in http_source.list("svm/1").entries] == [
            ("svm/1/model.py", 1500),
            ("svm/1/weights.bin", 700_000),
            ("svm/1/zeros", 300_000),
        ]
        assert 1_690_000_000 < http_source.entry("svm/config.pbtxt").modified < 1_710_000_000
        assert http_source.read("svm/1/weights.bin", 1000) == RANDOM[:1000]
        assert recognise(http_source, "svm").kind == "triton_model"
        assert content(http_source) == NAMES
        assert content(http_source, "svm/1/model.py") == {"model.py": NAMES["svm/1/model.py"]}
        plan = http_source.plan("svm")
        assert plan.empty_dirs == ("2",)
        assert [file.path for file in plan.files if file.executable] == ["1/model.py"]
        (weights,) = http_source.plan("svm/1/weights.bin").files
        if weights.ranged:
            with http_source.open(weights, "svm/1/weights.bin", 123_456, 500_000) as body:
                assert body.read() == RANDOM[123_456:623_456]
        assert weights.ranged == ("stored" in name or "zip" not in name)


@pytest.mark.parametrize("name", ["m.tar.gz", "m.zip", "stored.zip", "m.tar"])
def test_many_threads_read_members_side_by_side(name: str) -> None:
    with serving(holding({f"/{name}": ARCHIVES[name]})) as wire, ThreadPoolExecutor(8) as threads:
        http_source = source(wire, name)
        plan = http_source.plan("")

        def one(number: int) -> bool:
            file = plan.files[number % len(plan.files)]
            with http_source.open(file, "") as body:
                return body.read() == NAMES[file.path]

        assert all(threads.map(one, range(100)))


def test_a_zip_and_a_plain_tar_are_read_in_place() -> None:
    for name in ("m.zip", "m.tar"):
        data = ARCHIVES[name]
        with serving(holding({f"/{name}": data})) as wire:
            http_source = source(wire, name)
            with http_source.open(http_source.plan("svm/config.pbtxt").files[0], "svm/config.pbtxt") as body:
                assert body.read() == NAMES["svm/config.pbtxt"]
        assert all("Range: bytes=" in request or request.startswith("HEAD") for request in wire.requests)


def test_members_of_a_zip_use_one_connection_one_after_the_other() -> None:
    files = {f"file{number}": f"{number}".encode() * number for number in range(200)}
    with serving(holding({"/m.zip": zipped(files)})) as wire:
        assert content(source(wire, "m.zip")) == files
    assert wire.connections == 1
    assert len(wire.requests) < 210


def test_a_packed_archive_is_fetched_once_for_all_who_look_into_it(tmp_path: Path) -> None:
    with serving(holding({"/m.tar.gz": ARCHIVES["m.tar.gz"]})) as wire, ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: content(source(wire, "m.tar.gz", tmp_path / "spool")), range(8)))
    assert results == [NAMES] * 8
    assert len([request for request in wire.requests if request.startswith("GET") and "Range:" not in request]) == 1
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").iterdir()} == {0o600}


def test_a_round_goes_on_in_another_process_with_the_plan_of_the_first(tmp_path: Path) -> None:
    for name in ("m.tar.gz", "m.zip", "m.tar"):
        with serving(holding({f"/{name}": ARCHIVES[name]})) as wire:
            file = next(file for file in source(wire, name, tmp_path).plan("svm").files if file.path == "1/model.py")
            with source(wire, name, tmp_path).open(file, "svm") as body:
                assert body.read() == NAMES["svm/1/model.py"]


@pytest.mark.parametrize("name", ["m.tar.gz", "m.zip", "m.tar"])
@pytest.mark.parametrize("etags", [True, False])
def test_an_archive_that_was_replaced_has_changed(name: str, etags: bool, tmp_path: Path) -> None:
    files = {f"/{name}": ARCHIVES[name]}
    with serving(holding(files, etags=etags)) as wire:
        http_source = source(wire, name, tmp_path)
        file = http_source.plan("empty").files[0]
        other = dict(NAMES, empty=b"no more", more=b"")
        packing = name.partition(".")[2]
        files[f"/{name}"] = zipped(other) if packing == "zip" else PACKINGS[packing](tarred(other))
        with pytest.raises(SourceChanged):
            source(wire, name, tmp_path).open(file, "empty")
        assert content(http_source, "empty") == {"empty": b"no more"}


def test_without_a_version_the_content_itself_is_one() -> None:
    with serving(holding({"/m.tar.gz": ARCHIVES["m.tar.gz"]}, etags=False)) as wire:
        plans = [source(wire, "m.tar.gz").plan("") for _ in range(2)]
    assert plans[0].files[0].version.startswith("sha256:")
    assert plans[0] == plans[1]


def test_a_large_packed_archive_is_not_fetched_only_to_be_looked_into(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datasets.sources.http.archive.LOOK_LIMIT", 1000)
    with serving(holding({"/m.tar.gz": ARCHIVES["m.tar.gz"]})) as wire:
        with pytest.raises(SourceError, match="too large to look into before it is preheated"):
            source(wire, "m.tar.gz", tmp_path).list("")
        assert content(source(wire, "m.tar.gz", tmp_path)) == NAMES
        assert source(wire, "m.tar.gz", tmp_path).list("").total == 3  # what is there anyway may be looked into


# Damage


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("keep", [0, 10, 600, 0.5, 0.99])
def test_a_torn_archive_is_refused(name: str, keep: float) -> None:
    data = ARCHIVES[name]
    error = refused(name, data[: int(keep if keep > 1 else keep * len(data))])
    assert "damaged" in error.message


@pytest.mark.parametrize("name", ["m.tar.gz", "m.tar.bz2", "m.tar.xz"])
def test_a_flipped_bit_in_a_packed_archive_is_noticed(name: str) -> None:
    data = bytearray(ARCHIVES[name])
    data[len(data) // 2] ^= 4
    assert isinstance(refused(name, bytes(data)), SourceDamaged)


def test_a_flipped_bit_in_a_member_of_a_zip_is_noticed_or_has_a_checksum() -> None:
    data = bytearray(zipped({"f": b"hello world " * 1000}))
    data[data.rindex(b"PK\3\4") + 40] ^= 4
    with open_archive("m.zip", bytes(data)) as http_source:
        (file,) = http_source.plan("").files
        try:
            with http_source.open(file, "") as body:
                body_content = body.read()
        except SourceDamaged:
            return
    assert file.check != f"crc32:{zlib.crc32(body_content):08x}"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("m.tar", b"x" * 5000),
        ("m.zip", b"x" * 5000),
        ("m.tar.gz", b"x" * 5000),
        ("m.tar.gz", gzip.compress(b"x" * 5000)),
        ("m.tar", tarred() + b"x" * 512 + tarred()),
    ],
    ids=range(5),
)
def test_what_is_no_such_archive_is_said_so(name: str, data: bytes) -> None:
    if data.startswith(tarred()[:600]) and name == "m.tar":
        data = tarred()[:-10240].rstrip(b"\0") + b"x" * 1000  # what follows the last member is no header
    assert "damaged" in refused(name, data).message


def test_a_digest_of_the_archive_is_checked() -> None:
    wrong = {"/m.tgz": ("Digest: md5=AAAAAAAAAAAAAAAAAAAAAA==",)}
    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]}, extra=wrong)) as wire, pytest.raises(SourceDamaged):
        source(wire, "m.tgz").plan("")


def test_zstd_is_refused_with_what_to_do() -> None:
    error = refused("m.tar.zst", b"x")
    assert "zstd" in error.message
    assert "gzip" in error.hint
