"""HTTP/1.0 to the whole stack, as nginx sends it by default: the console's pages and API, and a model's answer."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from console.first_run import example
from tests.integration.live import Live

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]


def ask(url: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers. The connection ends with the answer, and no chunk of it says that it is one."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
    sent = None if body is None else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.request(method, target, sent, {"Host": parts.netloc, "Connection": "close", **named})
    answer = connection.getresponse()
    response_headers = {name.lower(): value for name, value in answer.getheaders()}
    content = answer.read()
    assert "chunked" not in response_headers.get("transfer-encoding", "")
    assert connection.sock is None, "the connection was kept"
    return answer.status, content, response_headers


def test_a_model_answers(live: Live) -> None:
    key = {"X_API_Key": live.key, "Content_Type": "application/json"}
    status, content, _ = ask(f"{live.gateway}/v2/models/{example.NAME}/infer", "POST", example.body(), **key)
    assert (status, json.loads(content)["outputs"][0]["data"]) == (200, [8.0])
    assert ask(f"{live.gateway}/v2/models/{example.NAME}/ready", **key)[0] == 200
    status, content, _ = ask(f"{live.gateway}/v1/models", **key)
    assert (status, example.NAME in json.loads(content)["models"]) == (200, True)
    assert ask(f"{live.gateway}/v2/health/ready")[:2] == (200, b'{"ready":true}')


def test_the_console_answers(live: Live) -> None:
    key = {"Authorization": f"Bearer {live.key}"}
    status, content, _ = ask(f"{live.console}/login/")
    assert (status, b"csrfmiddlewaretoken" in content) == (200, True)
    status, content, _ = ask(f"{live.console}/api/v1/services/{example.NAME}/", **key)
    assert (status, json.loads(content)["name"]) == (200, example.NAME)
    assert ask(f"{live.console}/api/v1/services/nobody/", **key)[0] == 404


def test_what_the_console_sends_in_pieces_comes_whole(live: Live) -> None:
    key = {"Authorization": f"Bearer {live.key}"}
    status, content, headers = ask(f"{live.console}/api/v1/usage/?format=csv", **key)
    assert (status, headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert b"," in content.splitlines()[0]
    assert int(headers["content-length"]) == len(content)
