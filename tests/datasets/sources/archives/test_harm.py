"""Archives made to write outside, or to fill disks or memory."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.errors import SourceDamaged, SourceError
from datasets.sources.archives import members
from datasets.sources.archives.tar import resolve
from tests.datasets.sources.archives.making import (
    PACKINGS,
    RANDOM,
    open_archive,
    refused,
    special,
    tarred,
    zipped,
)
from tests.datasets.sources.reading import content

# Names that lead outside


@pytest.mark.parametrize(
    "bad",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "..",
        "a/..",
        "a/./../../b",
        "x" * 300,
        "d/" * 100 + "f",
        "\udcff",
    ],
)
def test_a_member_whose_name_leads_outside_spoils_the_archive(bad: str) -> None:
    archives = {packing: PACKINGS[packing](tarred({"good": b"x", bad: b"evil"})) for packing in ("tar", "tar.gz")}
    if bad != "\udcff":  # which Python writes into no zip
        archives["zip"] = zipped({"good": b"x", bad: b"evil"})
    for packing, data in archives.items():
        error = refused(f"m.{packing}", data, "good")
        assert "name" in error.message or "folders deep" in error.message


@pytest.mark.parametrize(
    "link",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "../..",
        "good/../../x",
        "loop",
        "missing",
        "svm/2",
    ],
)
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_to_anything_but_a_file_of_the_archive_is_not_copied(link: str, kind: bytes) -> None:
    data = tarred({"good": b"x"}, special("loop", kind, link), special("d/e", tarfile.SYMTYPE, "../loop"))
    nowhere = link == "loop" or (link == "missing" and kind == tarfile.SYMTYPE)
    if not nowhere:
        assert "link" in refused("m.tar", data).message
    with open_archive("m.tar", data) as http_source:
        assert content(http_source, "good") == {"good": b"x"}
        problems = {entry.name: entry.problem for entry in http_source.list("").entries if entry.problem}
        assert list(problems) == ["loop"] and "a link" in problems["loop"]
        with pytest.raises(SourceError, match="loop is a link"):
            http_source.read("loop", 10)
        if nowhere:
            assert content(http_source) == {"good": b"x"}
            assert [item.path for item in http_source.plan("").left_out] == ["d/e", "loop"]


def test_a_link_to_a_file_of_the_archive_is_that_file() -> None:
    data = tarred(
        {"svm/1/real": b"content"},
        special("svm/1/soft", tarfile.SYMTYPE, "real"),
        special("hard", tarfile.LNKTYPE, "svm/1/real"),
        special("svm/up", tarfile.SYMTYPE, "../hard"),
        special("chain", tarfile.SYMTYPE, "./svm//up"),
    )
    with open_archive("m.tar", data) as http_source:
        assert content(http_source) == dict.fromkeys(
            ["svm/1/real", "svm/1/soft", "hard", "svm/up", "chain"],
            b"content",
        )


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_is_not_copied(kind: bytes) -> None:
    data = tarred({"good": b"x"}, special("device", kind))
    with open_archive("m.tar", data) as http_source:
        assert content(http_source) == {"good": b"x"}
        assert [(item.path, item.reason) for item in http_source.plan("").left_out] == [
            ("device", "neither a file nor a folder")
        ]
        with pytest.raises(SourceError, match=r"no files in device.*neither a file nor a folder"):
            http_source.plan("device")


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0o120777, "is a link"),
        (0o010644, "neither a file"),
        (0o020644, "neither a file"),
    ],
)
def test_links_and_devices_of_a_zip_are_not_copied(mode: int, words: str) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        if info.filename == "bad":
            info.external_attr = mode << 16

    data = zipped({"good": b"x", "bad": b"/etc/passwd"}, change=change)
    if "link" in words:
        assert words in refused("m.zip", data).message
    with open_archive("m.zip", data) as http_source:
        assert content(http_source, "good") == {"good": b"x"}
        [entry] = [entry for entry in http_source.list("").entries if entry.name == "bad"]
        assert words.removeprefix("is ") in entry.problem
        if "link" not in words:
            assert content(http_source) == {"good": b"x"}


def test_what_comes_later_in_a_tar_replaces_what_came_before() -> None:
    first, second = tarred({"f": b"old", "g": b"x"}), tarred({"f": b"new!"})
    data = first.rstrip(b"\0")
    data += bytes(-len(data) % 512) + second
    with open_archive("m.tar", data) as http_source:
        assert content(http_source) == {"f": b"new!", "g": b"x"}


def test_a_name_that_is_there_twice_in_a_zip_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened, pytest.warns(UserWarning):
        opened.writestr("f", b"one")
        opened.writestr("f", b"two")
    assert "two members with the name f" in refused("m.zip", buffer.getvalue()).message


@pytest.mark.parametrize("files", [{"a": b"x", "a/b": b"y"}, {"a/b": b"y", "a": b"x"}])
def test_what_is_a_file_and_a_folder_is_refused(files: dict[str, bytes]) -> None:
    for name, data in (("m.tar", tarred(files)), ("m.zip", zipped(files))):
        error = refused(name, data)
        assert "a is a file and a folder" in error.message or "a is there twice" in error.message


def test_a_link_may_not_be_followed_for_ever() -> None:
    more = [special(f"l{number}", tarfile.SYMTYPE, f"l{(number + 1) % 50}") for number in range(50)]
    with open_archive("m.tar", tarred({"good": b"x"}, *more)) as http_source:
        left_out = http_source.plan("").left_out
    assert {item.path for item in left_out} == {f"l{number}" for number in range(50)}
    assert all("in a circle" in item.reason for item in left_out)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["nowhere", "d", "l{}"])
def test_many_links_beside_many_files_take_no_longer_than_their_number_asks_for(target: str) -> None:
    """Compared with each file, or followed through each other, they would take hours."""
    listing = members.Members({f"d/{number}": members.Member("f", 0, 0) for number in range(300_000)})
    resolve(listing, {f"l{number}": target.format(number + 1) for number in range(20_000)})
    assert len(listing.problems) == 20_000


# Archives made to fill disks or memory


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["tar.gz", "tar.bz2", "tar.xz"])
def test_a_bomb_is_given_up_before_it_fills_the_disk(packing: str, tmp_path: Path) -> None:
    # Deflate packs zeros hardly more than 1000 times: it takes many of them to be over the bound and its slack.
    bomb = PACKINGS[packing](bytes((150 if packing == "tar.gz" else 30) << 20))
    error = refused(f"m.{packing}", bomb, spooled=tmp_path)
    assert "unpacks to more than 1000 times its size" in error.message
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0


def test_a_bomb_in_one_member_of_a_zip_is_refused() -> None:
    data = zipped({"bomb": bytes(100 << 20), "good": RANDOM})
    assert "unpacks to more than" in refused("m.zip", data).message


def test_members_of_a_zip_that_share_their_bytes_are_refused() -> None:
    """As in the zips that unpack 10 MB to 281 TB: many directory entries for the same content."""
    data = bytearray(zipped({"a": RANDOM[:1000], "b": RANDOM[1000:2000]}, method=zipfile.ZIP_STORED))
    start = data.index(b"PK\1\2", data.index(b"PK\1\2", data.index(b"PK\1\2") + 1) + 1)  # of b, after svm/2/ and a
    first = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    data[start + 42 : start + 46] = data[first + 42 : first + 46]
    assert "damaged" in refused("m.zip", bytes(data)).message


def test_a_member_of_a_zip_gives_no_more_than_its_directory_says() -> None:
    data = bytearray(zipped({"f": b"hello world " * 100_000}))
    for signature, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = data.rindex(signature)
        data[at + place : at + place + 4] = struct.pack("<I", 5000)
    with open_archive("m.zip", bytes(data)) as http_source:
        (file,) = http_source.plan("").files
        assert file.size == 5000
        with pytest.raises(SourceDamaged), http_source.open(file, "") as body:
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
    error = refused("m.tar", data)
    assert "too large to be true" in error.message or "damaged" in error.message


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


@pytest.mark.parametrize(
    "change",
    [
        lambda info: None,
        lambda info: setattr(info, "compress_type", zipfile.ZIP_BZIP2),
    ],
)
def test_a_member_of_a_zip_that_cannot_be_read_is_told(change: Callable[[zipfile.ZipInfo], None]) -> None:
    data = bytearray(zipped({"good": b"x"}, change=change))
    if b"BZh" not in data:
        data[data.rindex(b"PK\1\2") + 8] |= 1  # is encrypted, says the directory
    assert "good is " in refused("m.zip", bytes(data)).message


def test_the_bounds_are_those_that_the_documentation_says() -> None:
    assert (members.RATIO, members.MAX_UNPACKED) == (1000, 1 << 40)
