"""Archives as the tools of Windows, macOS and Linux make them, and as people rename them."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.errors import SourceError
from datasets.inspect.recognise import recognise
from tests.datasets.sources.archives.making import (
    ARCHIVES,
    NAMES,
    RANDOM,
    open_archive,
    refused,
    source,
    tarred,
    zipped,
)
from tests.datasets.sources.reading import content
from tests.datasets.sources.wire import holding, serving

MODEL = {"m/config.pbtxt": b'backend: "python"\n', "m/1/model.py": b"pass\n"}
FAT, NTFS, UNIX = 0, 10, 3


def from_windows(files: dict[str, bytes], system: int = FAT) -> bytes:
    """As Compress-Archive of PowerShell 5 does: backslashes, also behind folders, and no mark for UTF-8 needed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, body in {"m/1/": b"", **files}.items():
            info = zipfile.ZipInfo(name.replace("/", "\\"), (2024, 1, 2, 3, 4, 6))
            info.create_system, info.compress_type = system, zipfile.ZIP_DEFLATED
            opened.writestr(info, body)
    return buffer.getvalue()


def run(folder: Path, *command: str) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def read(name: str, data: bytes, path: str = "") -> dict[str, bytes]:
    """The same however the server gives it."""
    results = []
    for ranges in (True, False):
        with serving(holding({f"/{name}": data}, ranges=ranges)) as wire:
            results.append(content(source(wire, name), path))
    assert results[0] == results[1]
    return results[0]


def problems(name: str, data: bytes, path: str = "") -> dict[str, str]:
    with serving(holding({f"/{name}": data})) as wire:
        return {entry.name: entry.left_out for entry in source(wire, name).list(path).entries if entry.left_out}


@pytest.mark.parametrize("system", [FAT, NTFS])
def test_backslashes_of_windows_are_folders(system: int) -> None:
    data = from_windows(MODEL, system)
    assert read("m.zip", data) == MODEL
    with open_archive("m.zip", data) as http_source:
        assert recognise(http_source, "m").kind == "triton_model"


def test_what_unzip_makes_of_it_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(from_windows(MODEL))
    if shutil.which("unzip") is None:
        pytest.skip("there is no unzip here")
    done = subprocess.run(["unzip", "m.zip"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "appears to use backslashes as path separators" in done.stderr
    assert read("m.zip", from_windows(MODEL)) == {
        str(path.relative_to(tmp_path)): path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("bad", ["C:\\models\\m\\model.onnx", "c:/models/m/model.onnx", "..\\up", "\\\\nas\\m"])
def test_names_of_windows_that_lead_elsewhere_are_refused(bad: str) -> None:
    error = refused("m.zip", from_windows({bad: b"x"}))
    assert "a name that may not be" in error.message and error.hint
    if bad[1] == ":":
        assert "begins with a drive of Windows" in error.message
        assert "begins with a drive of Windows" in refused("m.tar", tarred({bad: b"x"})).message


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_absolute_name_is_refused_with_what_to_do(pack: Callable[[dict[str, bytes]], bytes]) -> None:
    error = refused("m.zip" if pack is zipped else "m.tar", pack({"/srv/m/model.onnx": b"x"}))
    assert "'/srv/m/model.onnx'" in error.message and "Names are relative" in error.hint


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("modèle.onnx".encode(), "modèle.onnx"),
        ("modèle.onnx".encode("cp437"), "modèle.onnx"),
        ("模型.onnx".encode(), "模型.onnx"),
        ("モデル.onnx".encode("cp932"), "モデル.onnx".encode("cp932").decode("cp437")),
    ],
)
def test_names_without_the_mark_for_utf8_are_read(raw: bytes, name: str) -> None:
    data = renamed(from_windows({"x" * len(raw): b"x"}), b"x" * len(raw), raw)
    assert read("m.zip", data, name) == {name: b"x"}


def test_the_extra_field_for_unicode_names_counts_when_it_belongs_to_the_name() -> None:
    raw = "モデル".encode("cp932")
    for crc, name in ((zlib.crc32(raw), "モデル"), (1, raw.decode("cp437"))):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as opened:
            info = zipfile.ZipInfo("x" * len(raw))
            field = struct.pack("<BI", 1, crc) + "モデル".encode()
            info.create_system, info.extra = FAT, struct.pack("<HH", 0x7075, len(field)) + field
            opened.writestr(info, b"content")
        data = renamed(buffer.getvalue(), b"x" * len(raw), raw)
        assert read("m.zip", data) == {name: b"content"}


def test_zip64_is_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, body in MODEL.items():
            with opened.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(body)
    assert read("m.zip", buffer.getvalue()) == MODEL


def test_an_encrypted_zip_is_shown_and_refused_by_member(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "model.onnx").write_bytes(b"x" * 100)
    run(tmp_path, "zip", "-q", "-r", "-P", "word", "m.zip", "secret")
    data = (tmp_path / "m.zip").read_bytes()
    assert problems("m.zip", data, "secret") == {"model.onnx": "encrypted"}
    error = refused("m.zip", data)
    assert error.message == "secret/model.onnx is encrypted." and "without a password" in error.hint


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (9, "Deflate64"),
        (12, "bzip2"),
        (14, "LZMA"),
        (93, "zstd"),
        (95, "xz"),
        (98, "PPMd"),
        (77, "method 77"),
    ],
)
def test_another_packing_in_a_zip_is_named(method: int, name: str) -> None:
    data = bytearray(zipped({"m/model.onnx": b"x" * 100, "other/a": b"y"}))
    entry = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    data[entry + 10 : entry + 12] = struct.pack("<H", method)
    assert problems("m.zip", bytes(data), "m") == {"model.onnx": f"packed with {name}, which is not supported"}
    error = refused("m.zip", bytes(data))
    assert error.message == f"m/model.onnx is packed with {name}, which is not supported." and "deflate" in error.hint
    assert read("m.zip", bytes(data), "other") == {"a": b"y"}


def test_a_zip_in_several_parts_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(RANDOM)
    run(tmp_path, "zip", "-q", "-s", "200k", "m.zip", "weights.bin")
    error = refused("m.zip", (tmp_path / "m.zip").read_bytes())
    assert "is the last part of a zip in several parts" in error.message and "zip -s 0" in error.hint
    first = (tmp_path / "m.z01").read_bytes()
    assert refused("m.zip", first).message == "m.zip is a zip in several parts."
    assert "split archives are not supported" in refused("m.z01", first).message


def test_a_sparse_tar_of_gnu_is_refused_by_member(tmp_path: Path) -> None:
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(10 << 20)
        file.seek(5 << 20)
        file.write(b"data")
    run(tmp_path, "tar", "--sparse", "-cf", "m.tar", "weights.bin")
    error = refused("m.tar", (tmp_path / "m.tar").read_bytes())
    assert error.message == "weights.bin is stored with holes, which is not supported." and "--sparse" in error.hint


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("m.tar", ARCHIVES["m.tar.gz"]),
        ("m.tar", ARCHIVES["m.tar.bz2"]),
        ("m.tar", ARCHIVES["m.tar.xz"]),
        ("m.tar.gz", ARCHIVES["m.tar"]),
        ("m.tgz", ARCHIVES["m.tar.xz"]),
        ("m.tar.xz", ARCHIVES["m.tar.gz"]),
        ("m.zip", ARCHIVES["m.tar"]),
        ("m.zip", ARCHIVES["m.tar.gz"]),
        ("m.tar", ARCHIVES["m.zip"]),
        ("m.tar.gz", ARCHIVES["m.zip"]),
        ("m.tbz", ARCHIVES["m.tar.bz2"]),
        ("m.tar.gz", ARCHIVES["stored.zip"]),
    ],
    ids=range(12),
)
def test_what_an_archive_is_counts_and_not_what_it_is_called(name: str, data: bytes) -> None:
    assert read(name, data) == NAMES


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.zip", b"<!DOCTYPE html><html><body>Sign in", "m.zip is a web page."),
        ("m.tar", b"\n<html lang=en>", "m.tar is a web page."),
        ("m.tar.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
        ("m.zip", b"7z\xbc\xaf\x27\x1c" + bytes(100), "m.zip is a 7z archive."),
        ("m.zip", b"Rar!\x1a\x07\x01\0" + bytes(100), "m.zip is a RAR archive."),
        ("m.tar.gz", b"\x28\xb5\x2f\xfd" + bytes(100), "zstd archives are not supported"),
    ],
)
def test_what_is_at_an_address_of_an_archive_instead_is_said(name: str, data: bytes, message: str) -> None:
    error = refused(name, data)
    assert message in error.message and error.hint


@pytest.mark.parametrize("name", ["m.7z", "m.rar", "m.tar.lz4", "m.tar.zst", "m.tar.Z", "m.zip.001", "m.tar.lzma"])
def test_archives_of_other_kinds_are_refused_by_their_name(name: str) -> None:
    error = refused(name, b"x")
    assert "archives are not supported" in error.message and "gzip" in error.hint


def test_what_macos_and_git_put_into_archives_is_left_out() -> None:
    extra = {"__MACOSX/m/._config.pbtxt": b"x", "m/.DS_Store": b"x", "m/Icon\r": b"", "m/.git/HEAD": b"x"}
    link = tarfile.TarInfo("m/.git/hooks")
    link.type, link.linkname = tarfile.SYMTYPE, "/usr/share/git/hooks"
    assert read("m.zip", zipped(MODEL | extra)) == MODEL
    assert read("m.tar.gz", gzip.compress(tarred(MODEL | extra, link))) == MODEL
    with open_archive("m.zip", zipped(MODEL | extra)) as http_source:
        assert {item.path for item in http_source.plan("m").left_out} == {".DS_Store", "Icon\r", ".git"}
        assert recognise(http_source, "").kind == "triton_repository"


def test_a_folder_around_everything_is_named_as_what_to_choose() -> None:
    with open_archive("m.zip", zipped({"release-1.2/docs/a.md": b"x"})) as http_source:
        assert recognise(http_source, "release-1.2").problems == ("There is only the folder docs here: choose it.",)


def test_an_archive_that_nobody_looks_into_is_said_to_be_one() -> None:
    with open_archive("m.zip", zipped({"in/model.7z": b"x", "in/m.tar.gz": b"x"})) as http_source:
        assert "m.tar.gz is an archive: unpack it" in recognise(http_source, "in").problems[0]
        assert "It is an archive: unpack it" in recognise(http_source, "in/model.7z").problems[0]


def test_a_member_that_cannot_be_read_is_not_read_alone_either() -> None:
    data = bytearray(zipped({"f": b"x" * 100}))
    data[data.rindex(b"PK\1\2") + 8] |= 1
    with serving(holding({"/m.zip": bytes(data)})) as wire, pytest.raises(SourceError, match="f is encrypted"):
        source(wire, "m.zip").read("f", 10)
