"""The source of web servers against real ones: Python's own, which gives no parts, and aiohttp's, which does."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datasets.errors import SourceChanged, SourceError
from datasets.inspect.recognise import recognise
from datasets.sources.http.source import HttpSource
from tests.datasets.sources.wire import certificate
from tests.servers.web import Server

pytestmark = [pytest.mark.integration]
MIB = 1 << 20


@pytest.fixture(scope="module", params=["plain", "ranges"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Server]:
    web = Server(request.param, folder, tmp_path_factory.mktemp("web") / "log")
    yield web
    web.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a large file and some hundred small ones, a list of it, and the same in archives."""
    root = tmp_path_factory.mktemp("www")
    model = root / "models" / "svm"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text('backend: "python"\n')
    (model / "1" / "weights.bin").write_bytes(b"".join(os.urandom(2000) + bytes(MIB) for _ in range(33)))
    for number in range(300):
        (model / "1" / f"part {number}.txt").write_text(f"{number}\n" * number)
    lines = [f"{digest}  {name}\n" for name, digest in digests(root / "models").items()]
    (root / "models" / "SHA256SUMS").write_text("".join(lines))
    with tarfile.open(root / "svm.tar.gz", "w:gz", compresslevel=1) as packed:
        packed.add(model, "svm")
    with tarfile.open(root / "svm.tar", "w") as plain:
        plain.add(model, "svm")
    with zipfile.ZipFile(root / "svm.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        for path in sorted(model.rglob("*")):
            zipped.write(path, path.relative_to(root / "models"))
    return root


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def copied(source: HttpSource, path: str) -> dict[str, str]:
    """The digests of everything below `path`, read as a round does: side by side, and large files in parts."""
    plan = source.plan(path)
    pieces = [
        (file, start, min(16 * MIB, file.size - start) if file.ranged else None)
        for file in plan.files
        for start in (range(0, file.size, 16 * MIB) if file.ranged and file.size else [0])
    ]

    def read(piece: tuple[object, int, int | None]) -> bytes:
        file, start, length = piece
        with source.open(file, path, start, length) as body:  # type: ignore[arg-type]
            return body.read()

    contents_by_path: dict[str, bytes] = {}
    with ThreadPoolExecutor(8) as threads:
        for (file, *_), part in zip(pieces, threads.map(read, pieces), strict=True):
            contents_by_path[file.path] = contents_by_path.get(file.path, b"") + part
    return {name: hashlib.sha256(body).hexdigest() for name, body in contents_by_path.items()}


def test_a_list_is_copied_whole_from_a_real_server(server: Server, folder: Path) -> None:
    source = server.source("models", list="SHA256SUMS")
    assert source.check().endswith("a list of 302 files.")
    assert recognise(source, "svm").kind == "triton_model"
    plan = source.plan("svm")
    assert [file.path for file in plan.files if file.ranged] == (["1/weights.bin"] if server.kind == "ranges" else [])
    assert copied(source, "svm") == digests(folder / "models" / "svm")


@pytest.mark.parametrize("name", ["svm.tar.gz", "svm.tar", "svm.zip"])
def test_an_archive_is_copied_whole_from_a_real_server(name: str, server: Server, folder: Path) -> None:
    source = server.source(name)
    assert source.list("svm/1", limit=5).total == 301
    assert recognise(source, "svm").kind == "triton_model"
    assert copied(source, "svm") == digests(folder / "models" / "svm")


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(server: Server, folder: Path) -> None:
    path = folder / "replaced.bin"
    shutil.copy(folder / "models" / "svm" / "1" / "weights.bin", path)
    source = server.source("replaced.bin")
    (file,) = source.plan("").files
    path.write_bytes(bytes(file.size))
    os.utime(path, (time.time() + 5, time.time() + 5))  # dates of HTTP have whole seconds
    with pytest.raises(SourceChanged):
        source.open(file, "")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[tuple[Server, Path]]:
    """The server, and the file with its certificate."""
    root = tmp_path_factory.mktemp("secure")
    _, public = certificate(root / "tls")
    web = Server("ranges", folder, root / "log", (public, public.with_name("key.pem")))
    yield web, public
    web.kill()


def test_over_tls_everything_is_as_without(
    secure: tuple[Server, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, public = secure
    with pytest.raises(SourceError, match="is not trusted"):
        server.source("models", list="SHA256SUMS").check()
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    assert copied(server.source("models", list="SHA256SUMS"), "svm") == digests(folder / "models" / "svm")


def test_a_server_that_is_killed_can_be_read_on_when_it_is_back(
    secure: tuple[Server, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, public = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    source = server.source("models/svm/1/weights.bin")
    (file,) = source.plan("").files
    assert file.ranged
    body = source.open(file, "")
    begin = body.read(MIB)
    server.kill()
    with pytest.raises(SourceError) as caught, body:
        while body.read(MIB):
            pass
    assert not caught.value.permanent
    with pytest.raises(SourceError, match="connection refused") as refused:
        source.open(file, "", MIB)
    assert not refused.value.permanent
    server.start()
    with source.open(file, "", MIB) as rest:
        whole = hashlib.sha256(begin + rest.read()).hexdigest()
    assert whole == digests(folder / "models" / "svm" / "1")["weights.bin"]
