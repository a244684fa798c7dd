"""Web servers of a folder, each in a process of its own: Python's, which gives no parts, and aiohttp's, which does."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

from datasets.sources.base import Site
from datasets.sources.http.source import HttpSource
from tests.ports import free_ports

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


class Server:
    """On a free port."""

    def __init__(self, kind: str, folder: Path, log: Path, tls: tuple[Path, Path] | None = None) -> None:
        self.kind, self._folder, self._log, self._tls = kind, folder, log, tls
        [self.port] = free_ports(1)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        port = str(self.port)
        command = {
            "plain": ["-m", "http.server", port, "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"],
            "ranges": ["-c", AIOHTTP, str(self._folder), port, *(map(str, self._tls) if self._tls else ("", ""))],
        }[self.kind]
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
