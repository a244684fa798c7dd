"""Whole wire bodies as the real Triton and vLLM sent them, in testdata/. `record` made them; tests only read.

To record anew: `python -m tests.services.bridge.recorded` with the servers of `EXCHANGES` on the ports given.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "testdata"
ROWS = {"numbers": ("FP32", 2), "text": ("BYTES", 1)}
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
SAID = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3, "temperature": 0}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True)
class Exchange:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def header_length(self) -> int | None:
        length = self.headers.get("inference-header-content-length")
        return None if length is None else int(length)


class _Bytes(io.BytesIO):
    """As much of a socket as http.client reads from."""

    def makefile(self, *_args: Any) -> io.BytesIO:
        return self


def load(name: str) -> Exchange:
    response = http.client.HTTPResponse(_Bytes((FOLDER / f"{name}.response").read_bytes()))  # type: ignore[arg-type]
    response.begin()
    headers = {key.lower(): value for key, value in response.getheaders()}
    return Exchange(response.status, headers, response.read())


def record(name: str, port: int, method: str, path: str, body: bytes = b"", **headers: str) -> None:
    """What comes back, byte by byte."""
    given = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in given.items())
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        with connection.makefile("rb") as file:
            (FOLDER / f"{name}.response").write_bytes(file.read())


def _record_text(name: str, port: int, path: str, body: dict[str, Any]) -> None:
    record(name, port, "POST", path, json.dumps(body).encode(), Content_Type="application/json")


def main(rows: int, text: int, vectors: int) -> None:
    """Ports of: Triton with the model of tests/integration/bridge/models.py, vLLM that chats, vLLM that embeds."""
    model = "/v2/models/rows"
    record("triton-metadata", rows, "GET", model)
    for name, count in (("triton-infer", 2), ("triton-too-many-rows", 5)):
        inputs = [
            {"name": "numbers", "shape": [count, 2], "datatype": "FP32", "data": list(range(2 * count))},
            {"name": "text", "shape": [count, 1], "datatype": "BYTES", "data": ["text"] * count},
        ]
        body = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        record(name, rows, "POST", f"{model}/infer", body)
    record(
        "triton-unknown-output",
        rows,
        "POST",
        f"{model}/infer",
        json.dumps({"inputs": inputs[:0], "outputs": [{"name": "nope"}]}).encode(),
    )
    _record_text("vllm-chat", text, CHAT, SAID)
    _record_text("vllm-chat-stream", text, CHAT, SAID | USAGE)
    _record_text("vllm-completion", text, COMPLETION, {"model": "tiny", "prompt": "hi", "max_tokens": 3})
    _record_text("vllm-completion-stream", text, COMPLETION, {"model": "tiny", "prompt": "hi", "max_tokens": 3} | USAGE)
    _record_text("vllm-too-long", text, CHAT, SAID | {"max_tokens": 100_000})
    _record_text("vllm-unknown-model", text, CHAT, SAID | {"model": "nope"})
    embed = {"model": "tiny", "input": "hi", "encoding_format": "base64"}
    _record_text("vllm-embedding", vectors, "/v1/embeddings", embed)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
