"""A web server that gives 20 KB a second: files as large as one likes, in parts, for as long as anybody reads."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SIZE = 100 << 20
DROP, EVERY = 4096, 0.2


class DripServer:
    def __init__(self) -> None:
        self.sent = 0
        """Bytes, of all files together."""
        self.stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        drip = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._head(200, SIZE)

            def do_GET(self) -> None:
                match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                first, last = (int(match[1]), int(match[2] or SIZE - 1)) if match else (0, SIZE - 1)
                self._head(206 if match else 200, last - first + 1, first, last)
                left = last - first + 1
                try:
                    while left and not drip.stopped.wait(EVERY):
                        part = min(DROP, left)
                        self.wfile.write(bytes(part))
                        drip.sent += part
                        left -= part
                except OSError:
                    self.close_connection = True

            def _head(self, status: int, length: int, first: int = 0, last: int = SIZE - 1) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(length))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", f'"{self.path}"')
                if status == 206:
                    self.send_header("Content-Range", f"bytes {first}-{last}/{SIZE}")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
