"""Lists of files as the tools of Unix and Windows write them, most of them by those tools themselves."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from datasets.errors import SourceError
from datasets.sources.http.filelist import Listed, parse

FILES = {
    "config.pbtxt": b"backend: 'python'",
    "1/model.py": b"import numpy\n",
    "1/two  words .bin": b"blanks",
    " front": b"a blank in front",
    "modèle 模型 🤖": b"any script",
    "(1) = 2": b"brackets",
    "-rf": b"dash",
}
ODD = {"back\\slash": b"1", "line\nbreak": b"2", "re\rturn": b"3", "\\n": b"4"}
BLANKS, TABS = " " * 1_000_000, "\t" * 1_000_000
EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def run(folder: Path, *command: str, names: dict[str, bytes]) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    whole = [*command, *(f"./{name}" for name in names)]
    done = subprocess.run(whole, cwd=folder, capture_output=True, check=True)
    return done.stdout.decode()


def rows(algorithm: str, files: dict[str, bytes]) -> list[Listed]:
    return [
        Listed(name, None, f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")
        for name, content in files.items()
    ]


@pytest.mark.parametrize(
    ("command", "algorithm"),
    [
        ("sha256sum", "sha256"),
        ("sha256sum --binary", "sha256"),
        ("sha256sum --tag", "sha256"),
        ("sha256sum --zero", "sha256"),
        ("sha256sum --tag --zero", "sha256"),
        ("sha512sum", "sha512"),
        ("sha384sum --tag", "sha384"),
        ("sha224sum", "sha224"),
        ("md5sum", "md5"),
        ("md5sum --tag", "md5"),
        ("sha1sum", "sha1"),
        ("shasum", "sha1"),
        ("shasum --tag -a 256", "sha256"),
        ("shasum -a 512", "sha512"),
        ("shasum --tag", "sha1"),
        ("cksum -a sha256", "sha256"),
        ("cksum -a sha256 --untagged", "sha256"),
    ],
)
def test_what_a_tool_writes_is_read(folder: Path, command: str, algorithm: str) -> None:
    odd = {} if command.startswith("shasum") else ODD  # which writes such names so that nobody can read them
    for name, content in odd.items():
        (folder / name).write_bytes(content)
    files = FILES | odd
    assert parse(run(folder, *command.split(), names=files)) == rows(algorithm, files)


@pytest.mark.parametrize("command", ["openssl dgst -sha256", "openssl dgst -sha256 -r", "openssl dgst -sha512"])
def test_what_openssl_writes_is_read(folder: Path, command: str) -> None:
    assert parse(run(folder, *command.split(), names=FILES)) == rows(command.split()[2][1:], FILES)


def test_digests_in_capitals_are_read_and_older_names_of_openssl_too() -> None:
    text = f"SHA256(1/model.onnx)= {EMPTY.upper()}\n{EMPTY.upper()} *config.pbtxt\nSHA2-256(labels.txt)= {EMPTY}\n"
    assert [(row.path, row.check) for row in parse(text)] == [
        (name, f"sha256:{EMPTY}") for name in ("1/model.onnx", "config.pbtxt", "labels.txt")
    ]


def test_comments_blank_lines_and_the_line_ends_of_windows_say_nothing() -> None:
    text = f"\ufeff# model v2\r\n\r\n  \r\n{EMPTY}  ./1/model.onnx\r\nconfig.pbtxt 12\r\n"
    assert parse(text) == [Listed("1/model.onnx", None, f"sha256:{EMPTY}"), Listed("config.pbtxt", 12, "")]


def test_blanks_at_the_ends_of_a_name_are_kept_after_a_digest() -> None:
    text = f"{EMPTY}   front \r\nSHA256 (models /end ) = {EMPTY}\n"
    assert [row.path for row in parse(text)] == [" front ", "models /end "]


def test_a_size_and_a_digest_may_follow_a_path() -> None:
    assert parse(f"two  words.bin 12 {EMPTY.upper()}\nbare {EMPTY}\nmodel 7\nonly") == [
        Listed("two  words.bin", 12, f"sha256:{EMPTY}"),
        Listed("bare", None, f"sha256:{EMPTY}"),
        Listed("model", 7, ""),
        Listed("only", None, ""),
    ]


def test_a_table_of_powershell_is_read_when_its_paths_are_relative() -> None:
    text = (
        "\r\nAlgorithm       Hash                                                                   Path\r\n"
        "---------       ----                                                                   ----\r\n"
        f"SHA256          {EMPTY.upper()}       .\\1\\model.onnx     \r\n\r\n\r\n"
    )
    assert parse(text) == [Listed("1/model.onnx", None, f"sha256:{EMPTY}")]
    # Hash and Resolve-Path -Relative, as the message about absolute paths says.
    assert parse(f"{EMPTY.upper()}  .\\my models\\config.pbtxt\r\n")[0].path == "my models/config.pbtxt"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"SHA256      {EMPTY.upper()}  C:\\models\\1\\model.onnx", r"names C:\\models\\1\\model.onnx by its place"),
        (f"{EMPTY}  C:/models/model.onnx", "by its place on a disk of Windows"),
        (f"{EMPTY}  \\\\nas\\models\\model.onnx", "by its place on a disk of Windows"),
        ('"Algorithm","Hash","Path"', "Export-Csv"),
        ("Algorithm : SHA256", "Format-List"),
        ("SHA256 hash of model.onnx:", "certutil"),
        (f"{EMPTY}  /srv/models/model.onnx", "does not start with a slash"),
        (f"BLAKE2b (model.onnx) = {EMPTY}{EMPTY}", "digest by BLAKE2b, which is not supported"),
        (f"SHA3-256(model.onnx)= {EMPTY}", "digest by SHA3-256, which is not supported"),
        (f"RIPEMD160       {EMPTY[:40].upper()}       .\\model.onnx", "digest by RIPEMD160"),
        ("SHA256 (model.onnx) = 1234", "that is not 64 hexadecimal digits"),
        (EMPTY, "has a digest and no name"),
        (f"{EMPTY}  -", "has a digest and no name"),
        (f"SHA2-256(stdin)= {EMPTY}", "has a digest and no name"),
        (f"{EMPTY}  ../up", "Line 2 of the list has a name that may not be"),
    ],
)
def test_a_line_that_cannot_be_is_named_with_its_fault(line: str, words: str) -> None:
    with pytest.raises(SourceError, match="Line 2 of the list") as caught:
        parse(f"config.pbtxt\n{line}\nlast")
    with pytest.raises(SourceError, match=words):
        raise caught.value
    assert caught.value.hint


@pytest.mark.parametrize("text", [EMPTY, f"{EMPTY.upper()}\r\n", f"{EMPTY}  -\n", f"{EMPTY}  model.onnx\n"])
def test_a_digest_beside_a_file_is_of_that_file(text: str) -> None:
    assert parse(text, "1/model.onnx.sha256") == [Listed("1/model.onnx", None, f"sha256:{EMPTY}")]


@pytest.mark.parametrize(
    "line",
    [
        f"a{BLANKS}b x",
        f"SHA256 {'A' * 64} a{BLANKS}b c",
        f"SHA256 {'A' * 64}{BLANKS}b\n\0",
        f"SHA256 (a) ={TABS}) x",
    ],
    ids=["path first", "PowerShell", "PowerShell with a break", "tagged"],
)
def test_a_long_line_is_read_in_one_pass(line: str) -> None:
    """Tried at each blank anew, it would take hours."""
    with contextlib.suppress(SourceError):
        parse(line)
