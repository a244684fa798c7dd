"""Sends one request twice, through the gateway and straight to Triton, and says what each made of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.integration.fuzz.arena import KEY, Arena

INFER = "/v2/models/rows/infer"
LENGTH = "Inference-Header-Content-Length"
REFUSALS = (400, 404, 413, 415)
Headers = Sequence[tuple[str, str]]
READ_SHARED_MEMORY = "Unable to find shared memory region"
"""Triton's words once it has read the parameter: there is no such region, because nobody can make one."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def error(self) -> str:
        """The sentence, in either shape; empty where there is none."""
        try:
            error = json.loads(self.body)["error"]
        except (ValueError, KeyError, TypeError):
            return ""
        return str(error["message"] if isinstance(error, dict) else error)


def _are_bytes(headers: Headers) -> bool:
    """Whether the gateway may take the body for one raw tensor, and say so."""
    kinds = [value for name, value in headers if name == "Content-Type"]
    return not any(name == LENGTH for name, _ in headers) and "application/octet-stream" in ",".join(kinds).lower()


@dataclass
class Both:
    arena: Arena
    passed: int | None = 0
    """Requests that went through the gateway to Triton, by their answers; None where nobody counts."""
    _connections: dict[int, http.client.HTTPConnection] = field(default_factory=dict)

    def gateway(self, headers: Headers, body: bytes, path: str = INFER) -> Answer:
        return self._post(self.arena.port, path, [("X-API-Key", KEY), *headers], body)

    def keyless(self, headers: Headers, body: bytes) -> Answer:
        """What a caller without a key is told by a public service."""
        return self._post(self.arena.port, "/v2/models/open/infer", headers, body)

    def triton(self, headers: Headers, body: bytes, path: str = INFER) -> Answer:
        return self._post(self.arena.triton_http, path, headers, body)

    def agree(self, headers: Headers, body: bytes, path: str = INFER) -> bool:
        """Whether the request passed. Fails the test unless Triton's answer is the same one, or the gateway refused the
        request in words of its own. (What passed is compared with Envoy's count after each test.)
        """
        direct, through = self.triton(headers, body, path), self.gateway(headers, body, path)
        if through != direct and _are_bytes(headers):
            direct = self.triton([*headers, (LENGTH, "0")], body, path)  # as the gateway tells it to read them
        if through == direct:
            self.passed = (self.passed or 0) + 1
            assert READ_SHARED_MEMORY not in direct.error, (headers, body[:200])
            return True
        assert through.status in REFUSALS, (headers, body[:200], through, direct)
        assert through.body.strip(), through
        return False

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _post(self, port: int, path: str, headers: Headers, body: bytes) -> Answer:
        """A kept connection for each server; a server that has closed it is asked on a new one."""
        for _ in range(2):
            connection = self._connections.pop(port, None) or http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.putrequest("POST", path, skip_accept_encoding=True)
                for name, value in headers:
                    connection.putheader(name, value.encode("latin-1"))
                if not any(name.lower() == "content-length" for name, _ in headers):
                    connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body)
                response = connection.getresponse()
                answer = Answer(response.status, response.read())
            except (http.client.RemoteDisconnected, ConnectionError):
                connection.close()
                continue
            self._connections[port] = connection
            return answer
        raise AssertionError(f"{port} ends each connection")
