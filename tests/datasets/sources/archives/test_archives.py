"""Archives at a web server: what is in them, their bytes, and what is refused. Also those made to do harm."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from datasets import housekeeping
from datasets.errors import SourceChanged, SourceDamaged, SourceError
from datasets.recognise import recognise
from datasets.sources.archives import members, spool, unpack
from datasets.sources.base import Site
from datasets.sources.http import HttpSource
from tests.datasets.sources.wire import Wire, holding, serving

RANDOM = os.urandom(700_000)
NAMES: dict[str, bytes] = {
    "svm/config.pbtxt": b'backend: "python"\n', "svm/1/model.py": b"print('hello')\n" * 100,
    "svm/1/weights.bin": RANDOM, "svm/1/zeros": bytes(300_000), "empty": b"", "deep/er/ü \u4f60 name": b"text",
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda data: data, "tar.gz": gzip.compress, "tgz": gzip.compress, "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


def tarred(files: dict[str, bytes] = NAMES, *more: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of `files`, an empty folder, and `more` members without content."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        folder = tarfile.TarInfo("svm/2")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(body), 1_700_000_000, 0o755 if name.endswith(".py") else 0o644
            tar.addfile(info, io.BytesIO(body))
        for info in more:
            tar.addfile(info)
    return made.getvalue()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(files: dict[str, bytes] = NAMES, method: int = zipfile.ZIP_DEFLATED, change: Any = None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as opened:
        opened.writestr("svm/2/", b"")
        for name, body in files.items():
            info = zipfile.ZipInfo(name, (2024, 1, 2, 3, 4, 6))
            info.create_system, info.compress_type = 3, method
            info.external_attr = (0o100755 if name.endswith(".py") else 0o100644) << 16
            if change is not None:
                change(info)
            opened.writestr(info, body)
    return made.getvalue()


def source(wire: Wire, name: str, spooled: Path | None = None) -> HttpSource:
    return HttpSource({"url": wire.url(f"/{name}")}, Site(endpoints=(wire.endpoint,), spool=spooled))


def content(made: HttpSource, path: str = "") -> dict[str, bytes]:
    found = {}
    for file in made.plan(path).files:
        with made.open(file, path) as body:
            found[file.path] = body.read()
    return found


def refused(name: str, data: bytes, path: str = "", spooled: Path | None = None) -> SourceError:
    """What a plan of the archive says, however the server gives it."""
    said = []
    for ranges in (True, False):
        with serving(holding({f"/{name}": data}, ranges=ranges)) as wire, pytest.raises(SourceError) as caught:
            source(wire, name, spooled).plan(path)
        said.append(caught.value)
    assert str(said[0]) == str(said[1])
    return said[0]


ARCHIVES = {
    **{f"m.{ending}": pack(tarred()) for ending, pack in PACKINGS.items()},
    "gnu.tar": tarred(form=tarfile.GNU_FORMAT), "ustar.TAR.GZ": gzip.compress(tarred(form=tarfile.USTAR_FORMAT)),
    "several.tar.gz": gzip.compress(tarred()[:1_000_000]) + gzip.compress(tarred()[1_000_000:]) + bytes(512),
    "m.zip": zipped(), "stored.zip": zipped(method=zipfile.ZIP_STORED), "prefixed.zip": b"#!/bin/sh\n" * 99 + zipped(),
}


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_a_folder_of_its_members(name: str, ranges: bool, tmp_path: Path) -> None:
    with serving(holding({f"/{name}": ARCHIVES[name]}, ranges=ranges)) as wire:
        made = source(wire, name, tmp_path)
        assert made.check().startswith(f"http://127.0.0.1:{wire.port}/{name} can be read: an archive of ")
        assert [entry.path for entry in made.list("").entries] == ["deep", "svm", "empty"]
        assert [(entry.path, entry.size) for entry in made.list("svm/1").entries] == [
            ("svm/1/model.py", 1500), ("svm/1/weights.bin", 700_000), ("svm/1/zeros", 300_000),
        ]
        assert 1_690_000_000 < made.entry("svm/config.pbtxt").modified < 1_710_000_000
        assert made.read("svm/1/weights.bin", 1000) == RANDOM[:1000]
        assert recognise(made, "svm").kind == "triton_model"
        assert content(made) == NAMES
        assert content(made, "svm/1/model.py") == {"model.py": NAMES["svm/1/model.py"]}
        plan = made.plan("svm")
        assert plan.empty_dirs == ("2",)
        assert [file.path for file in plan.files if file.executable] == ["1/model.py"]
        (weights,) = made.plan("svm/1/weights.bin").files
        if weights.ranged:
            with made.open(weights, "svm/1/weights.bin", 123_456, 500_000) as body:
                assert body.read() == RANDOM[123_456:623_456]
        assert weights.ranged == ("stored" in name or "zip" not in name)


@pytest.mark.parametrize("name", ["m.tar.gz", "m.zip", "stored.zip", "m.tar"])
def test_many_threads_read_members_side_by_side(name: str) -> None:
    with serving(holding({f"/{name}": ARCHIVES[name]})) as wire, ThreadPoolExecutor(8) as threads:
        made = source(wire, name)
        plan = made.plan("")

        def one(number: int) -> bool:
            file = plan.files[number % len(plan.files)]
            with made.open(file, "") as body:
                return body.read() == NAMES[file.path]

        assert all(threads.map(one, range(100)))


def test_a_zip_and_a_plain_tar_are_read_in_place() -> None:
    for name in ("m.zip", "m.tar"):
        data = ARCHIVES[name]
        with serving(holding({f"/{name}": data})) as wire:
            made = source(wire, name)
            with made.open(made.plan("svm/config.pbtxt").files[0], "svm/config.pbtxt") as body:
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
        found = list(threads.map(lambda _: content(source(wire, "m.tar.gz", tmp_path / "spool")), range(8)))
    assert found == [NAMES] * 8
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
        made = source(wire, name, tmp_path)
        file = made.plan("empty").files[0]
        other = dict(NAMES, empty=b"no more", more=b"")
        packing = name.partition(".")[2]
        files[f"/{name}"] = zipped(other) if packing == "zip" else PACKINGS[packing](tarred(other))
        with pytest.raises(SourceChanged):
            source(wire, name, tmp_path).open(file, "empty")
        assert content(made, "empty") == {"empty": b"no more"}


def test_without_a_version_the_content_itself_is_one() -> None:
    with serving(holding({"/m.tar.gz": ARCHIVES["m.tar.gz"]}, etags=False)) as wire:
        plans = [source(wire, "m.tar.gz").plan("") for _ in range(2)]
    assert plans[0].files[0].version.startswith("sha256:")
    assert plans[0] == plans[1]


def test_a_large_packed_archive_is_not_fetched_only_to_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datasets.sources.http_archive.LOOK_LIMIT", 1000)
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
    told = refused(name, data[:int(keep if keep > 1 else keep * len(data))])
    assert "damaged" in told.message


@pytest.mark.parametrize("name", ["m.tar.gz", "m.tar.bz2", "m.tar.xz"])
def test_a_flipped_bit_in_a_packed_archive_is_noticed(name: str) -> None:
    data = bytearray(ARCHIVES[name])
    data[len(data) // 2] ^= 4
    assert isinstance(refused(name, bytes(data)), SourceDamaged)


def test_a_flipped_bit_in_a_member_of_a_zip_is_noticed_or_has_a_checksum() -> None:
    data = bytearray(zipped({"f": b"hello world " * 1000}))
    data[data.rindex(b"PK\3\4") + 40] ^= 4
    with serving(holding({"/m.zip": bytes(data)})) as wire:
        made = source(wire, "m.zip")
        (file,) = made.plan("").files
        try:
            with made.open(file, "") as body:
                found = body.read()
        except SourceDamaged:
            return
    assert file.check != f"crc32:{zlib.crc32(found):08x}"


@pytest.mark.parametrize(("name", "data"), [
    ("m.tar", b"x" * 5000), ("m.zip", b"x" * 5000), ("m.tar.gz", b"x" * 5000), ("m.tar", gzip.compress(tarred())),
    ("m.zip", tarred()), ("m.tar.gz", zipped()), ("m.tar", zipped()), ("m.tar", tarred() + b"x" * 512 + tarred()),
], ids=range(8))
def test_what_is_no_such_archive_is_said_so(name: str, data: bytes) -> None:
    if data.startswith(tarred()[:600]) and name == "m.tar":
        data = tarred()[:-10240].rstrip(b"\0") + b"x" * 1000  # what follows the last member is no header
    assert "damaged" in refused(name, data).message


def test_a_digest_of_the_archive_is_checked() -> None:
    wrong = {"/m.tgz": ("Digest: md5=AAAAAAAAAAAAAAAAAAAAAA==",)}
    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]}, extra=wrong)) as wire, pytest.raises(SourceDamaged):
        source(wire, "m.tgz").plan("")


def test_zstd_is_refused_with_what_to_do() -> None:
    told = refused("m.tar.zst", b"x")
    assert "zstd" in told.message
    assert "gzip" in told.hint


# Names that lead outside


@pytest.mark.parametrize("bad", [
    "../evil", "/etc/evil", "a/../../evil", "..", "a/..", "a/./../../b", "a\nb", "x" * 300, "d/" * 100 + "f",
    "\udcff",
])
def test_a_member_whose_name_leads_outside_spoils_the_archive(bad: str) -> None:
    archives = {packing: PACKINGS[packing](tarred({"good": b"x", bad: b"evil"})) for packing in ("tar", "tar.gz")}
    if bad != "\udcff":  # which Python writes into no zip
        archives["zip"] = zipped({"good": b"x", bad: b"evil"})
    for packing, data in archives.items():
        told = refused(f"m.{packing}", data, "good")
        assert "name" in told.message or "folders deep" in told.message


@pytest.mark.parametrize("link", [
    "/etc/passwd", "../../etc/passwd", "../..", "good/../../x", "loop", "missing", "svm/2",
])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_to_anything_but_a_file_of_the_archive_is_not_copied(link: str, kind: bytes) -> None:
    data = tarred({"good": b"x"}, special("loop", kind, link), special("d/e", tarfile.SYMTYPE, "../loop"))
    told = refused("m.tar", data)
    assert "link" in told.message
    with serving(holding({"/m.tar": data})) as wire:
        made = source(wire, "m.tar")
        assert content(made, "good") == {"good": b"x"}
        assert [entry.name for entry in made.list("").entries] == ["svm", "good"]
        with pytest.raises(SourceError):
            made.read("loop", 10)


def test_a_link_to_a_file_of_the_archive_is_that_file() -> None:
    data = tarred(
        {"svm/1/real": b"content"}, special("svm/1/soft", tarfile.SYMTYPE, "real"),
        special("hard", tarfile.LNKTYPE, "svm/1/real"), special("svm/up", tarfile.SYMTYPE, "../hard"),
        special("chain", tarfile.SYMTYPE, "./svm//up"),
    )
    with serving(holding({"/m.tar": data})) as wire:
        assert content(source(wire, "m.tar")) == dict.fromkeys(
            ["svm/1/real", "svm/1/soft", "hard", "svm/up", "chain"], b"content",
        )


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_is_not_copied(kind: bytes) -> None:
    data = tarred({"good": b"x"}, special("device", kind))
    assert "device is neither a file nor a folder" in refused("m.tar", data).message
    with serving(holding({"/m.tar": data})) as wire:
        assert content(source(wire, "m.tar"), "good") == {"good": b"x"}


@pytest.mark.parametrize(("mode", "words"), [
    (0o120777, "is a link"), (0o010644, "neither a file"), (0o020644, "neither a file"),
])
def test_links_and_devices_of_a_zip_are_not_copied(mode: int, words: str) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        if info.filename == "bad":
            info.external_attr = mode << 16

    data = zipped({"good": b"x", "bad": b"/etc/passwd"}, change=change)
    assert words in refused("m.zip", data).message
    with serving(holding({"/m.zip": data})) as wire:
        assert content(source(wire, "m.zip"), "good") == {"good": b"x"}


def test_what_comes_later_in_a_tar_replaces_what_came_before() -> None:
    first, second = tarred({"f": b"old", "g": b"x"}), tarred({"f": b"new!"})
    data = first.rstrip(b"\0")
    data += bytes(-len(data) % 512) + second
    with serving(holding({"/m.tar": data})) as wire:
        assert content(source(wire, "m.tar")) == {"f": b"new!", "g": b"x"}


def test_a_name_that_is_there_twice_in_a_zip_is_refused() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened, pytest.warns(UserWarning):
        opened.writestr("f", b"one")
        opened.writestr("f", b"two")
    assert "two members with the name f" in refused("m.zip", made.getvalue()).message


@pytest.mark.parametrize("files", [{"a": b"x", "a/b": b"y"}, {"a/b": b"y", "a": b"x"}])
def test_what_is_a_file_and_a_folder_is_refused(files: dict[str, bytes]) -> None:
    for name, data in (("m.tar", tarred(files)), ("m.zip", zipped(files))):
        told = refused(name, data)
        assert "a is a file and a folder" in told.message or "a is there twice" in told.message


# Archives made to fill disks or memory


@pytest.mark.parametrize("packing", ["tar.gz", "tar.bz2", "tar.xz"])
def test_a_bomb_is_given_up_before_it_fills_the_disk(packing: str, tmp_path: Path) -> None:
    # Deflate packs zeros hardly more than 1000 times: it takes many of them to be over the bound and its slack.
    bomb = PACKINGS[packing](bytes((150 if packing == "tar.gz" else 30) << 20))
    told = refused(f"m.{packing}", bomb, spooled=tmp_path)
    assert "unpacks to more than 1000 times its size" in told.message
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0


def test_a_bomb_in_one_member_of_a_zip_is_refused() -> None:
    data = zipped({"bomb": bytes(100 << 20), "good": RANDOM})
    assert "unpacks to more than" in refused("m.zip", data).message


def test_members_of_a_zip_that_share_their_bytes_are_refused() -> None:
    """As in the zips that unpack 10 MB to 281 TB: many directory entries for the same content."""
    data = bytearray(zipped({"a": RANDOM[:1000], "b": RANDOM[1000:2000]}, method=zipfile.ZIP_STORED))
    start = data.index(b"PK\1\2", data.index(b"PK\1\2", data.index(b"PK\1\2") + 1) + 1)  # of b, after svm/2/ and a
    first = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    data[start + 42:start + 46] = data[first + 42:first + 46]
    assert "damaged" in refused("m.zip", bytes(data)).message


def test_a_member_of_a_zip_gives_no_more_than_its_directory_says() -> None:
    data = bytearray(zipped({"f": b"hello world " * 100_000}))
    for signature, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = data.rindex(signature)
        data[at + place:at + place + 4] = struct.pack("<I", 5000)
    with serving(holding({"/m.zip": bytes(data)})) as wire:
        made = source(wire, "m.zip")
        (file,) = made.plan("").files
        assert file.size == 5000
        with pytest.raises(SourceDamaged), made.open(file, "") as body:
            body.read(1 << 20)


@pytest.mark.parametrize("claimed", [1 << 40, (1 << 33) - 1, 10 << 20])
def test_a_long_name_that_says_it_is_gigabytes_is_not_read(claimed: int) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, claimed
    data = info.tobuf(tarfile.GNU_FORMAT) + b"x" * (12 << 20)
    assert "too large to be true" in refused("m.tar", data).message


def test_headers_about_headers_without_end_are_refused() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    data = (info.tobuf(tarfile.GNU_FORMAT) + b"x" + bytes(511)) * 5000
    told = refused("m.tar", data)
    assert "too large to be true" in told.message or "damaged" in told.message


@pytest.mark.parametrize("size", [-512, -1024, -(1 << 40)])
def test_a_member_of_negative_size_is_refused(size: int) -> None:
    info = tarfile.TarInfo("evil")
    data = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    data[124:136] = b"\xff" + (size & ((1 << 88) - 1)).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    assert "damaged" in refused("m.tar", bytes(data) * 3 + bytes(1024)).message


def test_a_file_with_holes_is_not_copied() -> None:
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 50)}
    data = tarred({"good": b"x"}, info)
    assert "holes" in refused("m.tar", data).message


def test_a_zip_with_a_huge_directory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.sources.archives.zip.MAX_DIRECTORY", 300_000)
    data = zipped({f"{number:05}" * 10: b"" for number in range(4000)})
    assert "too large to be true" in refused("m.zip", data).message


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("tar", "zip"):
        monkeypatch.setattr(f"datasets.sources.archives.{kind}.MAX_MEMBERS", 5)
    files = {str(number): b"" for number in range(20)}
    for name, data in (("m.tar", tarred(files)), ("m.zip", zipped(files))):
        assert "more than 5 members" in refused(name, data).message


@pytest.mark.parametrize("change", [
    lambda info: None, lambda info: setattr(info, "compress_type", zipfile.ZIP_BZIP2),
])
def test_a_member_of_a_zip_that_cannot_be_read_is_told(change: Callable[[zipfile.ZipInfo], None]) -> None:
    data = bytearray(zipped({"good": b"x"}, change=change))
    if b"BZh" not in data:
        data[data.rindex(b"PK\1\2") + 8] |= 1  # is encrypted, says the directory
    assert "good is " in refused("m.zip", bytes(data)).message


# The spool


def test_the_hourly_upkeep_of_the_node_removes_what_is_old(tmp_path: Path, settings: Settings, db: None) -> None:
    home = dataclasses.replace(settings.HOME, root=tmp_path)
    settings.HOME = home
    home.spool.mkdir()
    for name, age in (("old", 7200), ("new", 60)):
        (home.spool / name).touch()
        os.utime(home.spool / name, (time.time() - age,) * 2)
    housekeeping.evict_unused()
    assert [path.name for path in home.spool.iterdir()] == ["new"]


def test_no_room_is_said_before_the_disk_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spool, "LEAVE", 1 << 60)
    monkeypatch.setattr(spool, "_LOOK", 1 << 10)
    full = pytest.raises(SourceError, match="no room on this node")
    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]})) as wire, full as caught:
        source(wire, "m.tgz", tmp_path).plan("")
    assert not caught.value.permanent
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_what_nobody_used_for_an_hour_is_removed_and_what_is_open_can_be_read_on(tmp_path: Path) -> None:
    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]})) as wire:
        made = source(wire, "m.tgz", tmp_path)
        plan = made.plan("")
        spool.sweep(tmp_path)
        kept = [path for path in tmp_path.iterdir() if not path.suffix]
        assert len(kept) == 1
        os.utime(kept[0], (1, 1))
        spool.sweep(tmp_path)
        assert not kept[0].exists()
        for file in plan.files:
            with made.open(file, "") as body:
                assert body.read() == NAMES[file.path]


def test_a_plan_that_is_stopped_while_it_unpacks_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unpack, "PIECE", 10_000)

    class Stopped(Exception):
        pass

    beats = iter([None] * 5)

    def beat() -> None:
        if next(beats, Stopped) is Stopped:
            raise Stopped

    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]})) as wire, pytest.raises(Stopped):
        source(wire, "m.tgz", tmp_path).plan("", beat=beat)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_who_waits_for_an_archive_that_another_one_unpacks_can_be_stopped(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    held, go = threading.Event(), threading.Event()

    def slow() -> None:
        held.set()
        go.wait(10)

    def stop() -> None:
        raise Stopped

    with serving(holding({"/m.tgz": ARCHIVES["m.tgz"]})) as wire, ThreadPoolExecutor(1) as threads:
        first = threads.submit(source(wire, "m.tgz", tmp_path).plan, "", beat=slow)
        assert held.wait(10)
        with pytest.raises(Stopped):
            source(wire, "m.tgz", tmp_path).plan("", beat=stop)
        go.set()
        assert len(first.result(20).files) == len(NAMES)


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_unpacking_does_not_care_where_pieces_end(packing: str, piece: int) -> None:
    plain = RANDOM[:3000] + bytes(2_500_000 if piece > 100 else 3000)
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[packing]
    data = pack(plain[:2000]) + pack(b"") + pack(plain[2000:])
    found = list(unpack.unpacked(packing, (data[at:at + piece] for at in range(0, len(data), piece)), "m"))
    assert b"".join(found) == plain
    assert max(map(len, found)) <= unpack.PIECE


def test_a_link_may_not_be_followed_for_ever() -> None:
    more = [special(f"l{number}", tarfile.SYMTYPE, f"l{(number + 1) % 50}") for number in range(50)]
    assert "in a circle" in refused("m.tar", tarred({"good": b"x"}, *more)).message


def test_the_bounds_are_those_that_the_documentation_says() -> None:
    assert (members.RATIO, members.MAX_UNPACKED) == (1000, 1 << 40)
