"""One whole stack with the example service, shared by the tests that only use it; and how a client talks to it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any

from console.first_run import credentials, example
from tests.integration.stack_run import Stack


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]


def send(
    url: str, body: Any = None, *, method: str | None = None, headers: dict[str, str] | None = None, timeout: float = 30
) -> Answer:
    """One HTTP request; a 4xx or 5xx is an answer, not an exception. Dicts and lists travel as JSON."""
    sent = dict(headers or {})
    data = body
    if isinstance(body, dict | list):
        data = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Answer(answer.status, parsed(answer.read()), lowered(answer.headers))
    except urllib.error.HTTPError as error:
        return Answer(error.code, parsed(error.read()), lowered(error.headers))


def lowered(headers: Message) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}


def parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw


class Live:
    """A running stack as its users see it: the REST API and the gateway, with the key of credentials.json.

    `source_port`: the only one of loopback that its datasets may read from.
    """

    def __init__(self, stack: Stack, source_port: int = 0) -> None:
        self.stack, self.source_port = stack, source_port
        self.credentials = credentials.read(stack.home.credentials)
        self.key = self.credentials["api_key"]
        self.console = self.credentials["console_url"]
        self.gateway = self.credentials["gateway_url"]
        self.grpc_target = f"127.0.0.1:{stack.gateway_port}"

    def api(self, path: str, body: Any = None, *, method: str | None = None, key: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        if method in {"POST", "PATCH"} and body is None:
            body = {}
        return send(f"{self.console}/api/v1/{path}", body, method=method, headers=headers)

    def infer(self, service: str = example.NAME, body: Any = None, *, key: str | None = None) -> Answer:
        headers = {} if key == "" else {"X-API-Key": key or self.key}
        return send(f"{self.gateway}/v2/models/{service}/infer", body or example.body(), headers=headers)

    def create(self, name: str, model_path: str, **changes: Any) -> dict[str, Any]:
        """A service from the sample dataset. Fails the test when it is refused."""
        body = {
            "name": name,
            "framework": "triton",
            "dataset": "samples",
            "model_path": model_path,
            "queue": "default",
            "resources": {"cpu": 0.5, "memory_gib": 0.5},
            **changes,
        }
        answer = self.api("services/", body, method="POST")
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.body
        return created

    def service(self, name: str) -> dict[str, Any]:
        service_body: dict[str, Any] = self.api(f"services/{name}/").body
        return service_body

    def wait(self, name: str, state: str = "READY", seconds: float = 180) -> dict[str, Any]:
        """Until the service is in `state`; fails with its message when it takes too long or FAILED comes instead."""
        return self.until(
            lambda: self.service(name),
            lambda seen: seen.get("state") == state,
            seconds,
            give_up=lambda seen: seen.get("state") == "FAILED" and state != "FAILED",
        )

    def until(
        self,
        look: Callable[[], Any],
        good: Callable[[Any], bool],
        seconds: float = 90,
        give_up: Callable[[Any], bool] = lambda seen: False,
    ) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            seen = look()
            if good(seen):
                return seen
            assert time.monotonic() < deadline and not give_up(seen), f"{seen}\n{self.stack.read_output()[-3000:]}"
            time.sleep(0.2)

    def delete(self, *names: str) -> None:
        for name in names:
            answer = self.api(f"services/{name}/", method="DELETE")
            assert answer.status == 202, answer.body
        for name in names:
            self.until(lambda name=name: self.api(f"services/{name}/").status, lambda status: status == 404)  # type: ignore[misc]
