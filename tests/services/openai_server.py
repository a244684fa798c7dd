"""A small real server of the OpenAI API: streams words as slowly as a test wants, and notices who goes away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("I ", "am ", "<b>small</b>", " & é")
USAGE = {"prompt_tokens": 3, "completion_tokens": len(WORDS), "total_tokens": 3 + len(WORDS)}


@dataclass
class OpenAIServer:
    port: int
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    ready_status: int = 200
    refusal: tuple[int, bytes] | None = None
    """What every request gets instead of an answer."""
    endless: bool = False
    torn: bool = False
    """A stream ends without saying so."""
    gone: threading.Event = field(default_factory=threading.Event)
    """The reader of an endless stream went away."""


@contextmanager
def serve_openai() -> Iterator[OpenAIServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.say(state.ready_status, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(body)
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            if state.refusal:
                return self.send(state.refusal[0], state.refusal[1])
            if self.path == "/v1/embeddings":
                vector = [0.25, -1.5, 2.0]
                return self.say(200, {"data": [{"index": 0, "embedding": vector}], "usage": {"prompt_tokens": 2}})
            if body.get("stream"):
                return self.stream("chat" in self.path)
            text = "".join(WORDS)
            choice = {"message": {"content": text}} if "chat" in self.path else {"text": text}
            self.say(200, {"choices": [{**choice, "finish_reason": "stop"}], "usage": USAGE})

        def stream(self, chat: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.end_headers()
            try:
                while True:
                    for word in WORDS:
                        choice = {"delta": {"content": word}} if chat else {"text": word}
                        self.event({"choices": [choice]})
                    if not state.endless:
                        break
                    time.sleep(0.02)
            except OSError:
                state.gone.set()
                return
            if not state.torn:
                self.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
                self.event({"choices": [], "usage": USAGE})
                self.wfile.write(b"data: [DONE]\n\n")

        def event(self, data: Any) -> None:
            self.wfile.write(f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode())
            self.wfile.flush()

        def say(self, status: int, answer: Any) -> None:
            self.send(status, json.dumps(answer).encode())

        def send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = OpenAIServer(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.endless = False
        server.shutdown()
        server.server_close()
        thread.join()
