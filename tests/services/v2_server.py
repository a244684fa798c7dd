"""A small real V2 REST server: tells its metadata, echoes its first input, and remembers what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

METADATA = {
    "name": "digits",
    "versions": ["1"],
    "platform": "python",
    "inputs": [
        {"name": "predict", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "word", "datatype": "BYTES", "shape": [1]},
    ],
    "outputs": [{"name": "OUT", "datatype": "FP32", "shape": [-1, 2]}],
}


@dataclass
class V2Server:
    port: int
    requests: list[Any] = field(default_factory=list)
    """JSON bodies of inferences."""
    keys: list[str] = field(default_factory=list)
    ready_status: int = 200
    answer: tuple[int, bytes] | None = None
    """What every inference gets instead of an echo."""


@contextmanager
def serve_v2() -> Iterator[V2Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/v2/models/digits":
                self.say(200, json.dumps(METADATA).encode())
            else:
                self.say(state.ready_status if self.path.endswith("/ready") else 404, b"{}")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(body)
            state.keys.append(self.headers.get("Authorization", "").removeprefix("Bearer "))
            row = next((row for row in body.get("inputs", ()) if row["datatype"] == "FP32"), None)
            outputs = [{**row, "name": "OUT"}] if row else []
            self.say(*(state.answer or (200, json.dumps({"model_name": "digits", "outputs": outputs}).encode())))

        def say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = V2Server(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
