"""The source of web servers against real ones: Python's own, which gives no parts, and aiohttp's, which does."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from datasets.errors import SourceChanged, SourceError
from datasets.inspect.recognise import recognise
from datasets.sources.base import Site
from datasets.sources.http.source import HttpSource
from tests.datasets.sources.wire import certificate
from tests.ports import free_ports

pytestmark = [pytest.mark.integration]
MIB = 1 << 20
AIOHTTP = """
import ssl, sys
from aiohttp import web
folder, port, certificate, key = sys.argv[1:]
app = web.Application()
app.router.add_static("/", folder, show_index=False)
context = None
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, print=None)
"""
Start = Callable[..., "Server"]


class Server:
    """A web server of `folder` in a process of its own, on a free port."""

    def __init__(self, kind: str, folder: Path, log: Path, tls: tuple[Path, Path] | None = None) -> None:
        self._kind, self._folder, self._log, self._tls = kind, folder, log, tls
        [self.port] = free_ports(1)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        port = str(self.port)
        command = {
            "plain": ["-m", "http.server", port, "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"],
            "ranges": ["-c", AIOHTTP, str(self._folder), port, *(map(str, self._tls) if self._tls else ("", ""))],
        }[self._kind]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, *command], cwd=self._folder, stdout=log, stderr=log)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.process.poll() is None, self._log.read_text()
                time.sleep(0.05)
            else:
                return self.process
        raise AssertionError(self._log.read_text())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def source(self, url: str, **options: str) -> HttpSource:
        scheme = "https" if self._tls else "http"
        return HttpSource(
            {"url": f"{scheme}://127.0.0.1:{self.port}/{url}", **options},
            Site(endpoints=(f"127.0.0.1:{self.port}",), spool=self._log.parent / "spool"),
        )


@pytest.fixture
def start(tmp_path: Path, folder: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(kind: str, tls: tuple[Path, Path] | None = None) -> Server:
            server = Server(kind, folder, tmp_path / "log", tls)
            stack.callback(server.kill)
            return server

        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a large file and some hundred small ones, a list of it, and the same in archives."""
    root = tmp_path_factory.mktemp("www")
    model = root / "models" / "svm"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text('backend: "python"\n')
    (model / "1" / "weights.bin").write_bytes(b"".join(os.urandom(2000) + bytes(MIB) for _ in range(40)))
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


@pytest.mark.parametrize("kind", ["plain", "ranges"])
def test_a_list_is_copied_whole_from_a_real_server(kind: str, start: Start, folder: Path) -> None:
    source = start(kind).source("models", list="SHA256SUMS")
    assert source.check().endswith("a list of 302 files.")
    assert recognise(source, "svm").kind == "triton_model"
    plan = source.plan("svm")
    assert [file.path for file in plan.files if file.ranged] == (["1/weights.bin"] if kind == "ranges" else [])
    assert copied(source, "svm") == digests(folder / "models" / "svm")


@pytest.mark.parametrize("kind", ["plain", "ranges"])
@pytest.mark.parametrize("name", ["svm.tar.gz", "svm.tar", "svm.zip"])
def test_an_archive_is_copied_whole_from_a_real_server(kind: str, name: str, start: Start, folder: Path) -> None:
    source = start(kind).source(name)
    assert source.list("svm/1", limit=5).total == 301
    assert recognise(source, "svm").kind == "triton_model"
    assert copied(source, "svm") == digests(folder / "models" / "svm")


def test_over_tls_everything_is_as_without(
    start: Start,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, public = certificate(tmp_path / "tls")
    server = start("ranges", (public, public.with_name("key.pem")))
    with pytest.raises(SourceError, match="is not trusted"):
        server.source("models", list="SHA256SUMS").check()
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    assert copied(server.source("models", list="SHA256SUMS"), "svm") == digests(folder / "models" / "svm")


def test_a_server_that_is_killed_can_be_read_on_when_it_is_back(start: Start, folder: Path) -> None:
    server = start("ranges")
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


@pytest.mark.parametrize("kind", ["plain", "ranges"])
def test_a_file_that_is_replaced_while_it_is_read_is_noticed(kind: str, start: Start, folder: Path) -> None:
    path = folder / "replaced.bin"
    shutil.copy(folder / "models" / "svm" / "1" / "weights.bin", path)
    source = start(kind).source("replaced.bin")
    (file,) = source.plan("").files
    path.write_bytes(bytes(file.size))
    os.utime(path, (time.time() + 5, time.time() + 5))  # dates of HTTP have whole seconds
    with pytest.raises(SourceChanged):
        source.open(file, "")
