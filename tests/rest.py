"""A client of the REST API that checks every answer against the OpenAPI document, and errors against RFC 9457."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

ROOT = "/api/v1/"
REFUSED = {"nobody": 401, "stranger": 404, "teammate": 403}
"""What those get who may not change a thing of Alice's team."""
SEEN = {"nobody": 401, "stranger": 404, "teammate": 200, "owner": 200}
Fields = dict[str, list[str]]


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    data: Any

    @property
    def errors(self) -> Fields:
        """The problem's messages by field."""
        assert self.status == 400, (self.status, self.data)
        errors: Fields = self.data.get("errors", {})
        return errors


@dataclass
class Api:
    """The REST API with a person's session, a key, or nothing."""

    user: User | None = None
    key: str = ""
    client: Client = field(default_factory=Client)

    def __post_init__(self) -> None:
        if self.user:
            self.client.force_login(self.user)

    def get(self, path: str, /, **query: Any) -> Answer:
        return self.send("GET", path, query=query)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.send("POST", path, body)

    def patch(self, path: str, body: Any) -> Answer:
        return self.send("PATCH", path, body)

    def delete(self, path: str) -> Answer:
        return self.send("DELETE", path)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        content_type: str = "application/json",
        query: Mapping[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        sent = {**({"Authorization": f"Bearer {self.key}"} if self.key else {}), **(headers or {})}
        response = self.client.generic(
            method, ROOT + path, content, content_type=content_type, headers=sent, query_params=dict(query or {})
        )
        answer = Answer(response.status_code, response.headers, json.loads(response.content or b"null"))
        check(method, path, answer, response.headers.get("Content-Type", ""))
        return answer


def check(method: str, path: str, answer: Answer, content_type: str) -> None:
    if answer.status >= 400:
        assert content_type == "application/problem+json", (answer.status, content_type)
        assert answer.data["status"] == answer.status
        assert answer.data["detail"] and answer.data["type"].startswith("urn:inference-console:")
    if answer.status == 401:
        assert "WWW-Authenticate" in answer.headers
    operation = operation_of(method, path)
    if operation is None or answer.status in {405, 415}:
        return
    described = operation["responses"].get(str(answer.status))
    assert described is not None, f"{method} {path} answered {answer.status}, which the document does not have"
    content = described.get("content")
    assert (answer.data is None) == (content is None), (method, path, answer.status)
    if content:
        validate(answer.data, content[content_type]["schema"])


def validate(data: Any, schema: Mapping[str, Any]) -> None:
    errors = sorted(Draft202012Validator({**schema, "components": document()["components"]}).iter_errors(data), key=str)
    assert not errors, [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.0 document with `nullable` as JSON Schema says it, and no field that is not described."""
    schema = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))
    translated: dict[str, Any] = _translated(schema)
    return translated


def _translated(node: Any) -> Any:
    if isinstance(node, list):
        return [_translated(item) for item in node]
    if not isinstance(node, dict):
        return node
    parts = {key: _translated(value) for key, value in node.items() if key != "nullable"}
    if isinstance(parts.get("properties"), dict) and parts.get("type") == "object":
        parts.setdefault("additionalProperties", False)
    return {"anyOf": [parts, {"type": "null"}]} if node.get("nullable") is True else parts


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    described = (operations for pattern, operations in paths() if pattern.fullmatch(ROOT + path))
    return next((operations[method.lower()] for operations in described if method.lower() in operations), None)


@cache
def paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """The operations of each path of the document."""
    return [
        (re.compile(re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))), operations)
        for template, operations in document()["paths"].items()
    ]


def who_may(people: Mapping[str, Api], ask: Callable[[Api], Answer]) -> dict[str, int]:
    """What each of them is answered, those with the least rights first."""
    return {who: ask(people[who]).status for who in ("nobody", "stranger", "teammate", "owner")}
