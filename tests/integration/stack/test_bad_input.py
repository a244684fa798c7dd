"""What people get wrong, at the REST API of a running stack: a message that says what to do, and nothing half-made."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.first_run import example
from tests.integration.live import Live, send

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]

CONFIG = """backend: "python"
max_batch_size: 0
input [{ name: "IN" data_type: TYPE_FP32 dims: [-1] }]
output [{ name: "OUT" data_type: TYPE_FP32 dims: [-1] }]
"""
RAISES = """class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("the vocabulary file is missing")
"""


@pytest.fixture(scope="module")
def dataset(live: Live) -> Iterator[str]:
    root = live.stack.datasets / "broken"
    write(root / "raises", CONFIG, RAISES)
    write(root / "config", CONFIG.replace("max_batch_size: 0", "max_batch_size: many"), RAISES)
    write(root / "empty", CONFIG, None)
    (root / "outside").symlink_to("/etc")
    body = {"name": "broken", "kind": "local", "options": {"path": str(root)}, "team": "default"}
    assert live.api("datasets/", body, method="POST").status == 201
    assert live.api("datasets/broken/trust/", {"trusted": True}, method="POST").status == 200
    yield "broken"
    live.api("datasets/broken/", method="DELETE")


def write(folder: Path, config: str, code: str | None) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    if code is not None:
        (folder / "1" / "model.py").write_text(code)


def refused(live: Live, **changes: Any) -> dict[str, list[str]]:
    """What the API says of each field; asserts that no service was made."""
    body = {
        "name": "bad",
        "framework": "triton",
        "dataset": "broken",
        "model_path": "raises",
        "team": "default",
        **changes,
    }
    answer = live.api("services/", body, method="POST")
    assert answer.status == 400, answer
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert live.api("services/bad/").status == 404
    errors: dict[str, list[str]] = answer.body["errors"]
    return errors


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"dataset": "nope"}, "dataset", "no dataset named nope"),
        ({"model_path": "../../etc"}, "model_path", "inside the dataset"),
        ({"model_path": "outside"}, "model_path", "outside"),
        ({"model_path": "not-there"}, "model_path", "not-there"),
        ({"model_path": "empty"}, "model_path", "model.py"),
        ({"model_path": "config"}, "model_path", "config.pbtxt"),
        ({"name": example.NAME}, "name", "already a service"),
        ({"replicas": 50, "resources": {"cpu": 50}}, "resources", "too small"),
    ],
)
def test_each_mistake_is_named_at_its_field(
    live: Live, dataset: str, changes: dict[str, Any], field: str, message: str
) -> None:
    assert message in " ".join(refused(live, **changes)[field])


def test_a_model_that_raises_at_load_fails_with_its_own_words(live: Live, dataset: str) -> None:
    live.create("raises", "raises", dataset="broken")
    service = live.wait("raises", "FAILED")
    assert "the vocabulary file is missing" in service["message"]
    events = live.api("services/raises/events/").body["results"]
    assert any("the vocabulary file is missing" in event["detail"] for event in events)
    # The console has the reason; the gateway says only that there is nothing to call.
    answer = live.infer("raises")
    assert (answer.status, answer.body) == (503, {"error": "The service raises is not ready."})
    live.delete("raises")


def test_what_is_not_json_is_said_with_its_place(live: Live) -> None:
    headers = {"Authorization": f"Bearer {live.key}", "Content-Type": "application/json"}
    answer = send(f"{live.console}/api/v1/services/", b'{"name": ', method="POST", headers=headers)
    assert answer.status == 400
    assert "JSON" in answer.body["detail"]


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"name": "predict", "datatype": "FP32", "shape": [1, 64], "data": [1.0]}, "64"),
        ({"name": "predict", "datatype": "INT64", "shape": [1, 64], "data": example.PIXELS}, "FP32"),
        ({"name": "other", "datatype": "FP32", "shape": [1], "data": [1.0]}, "predict"),
        ({"name": "predict", "datatype": "FP32", "shape": [1, 64], "text": "[1, 2"}, "JSON"),
    ],
)
def test_a_wrong_test_input_is_explained_before_it_is_sent(live: Live, tensor: dict[str, Any], message: str) -> None:
    answer = live.api(f"services/{example.NAME}/probe/", {"protocol": "http", "inputs": [tensor]}, method="POST")
    assert answer.status == 400, answer
    assert message in json.dumps(answer.body), answer.body


def test_the_page_says_the_same_as_the_api(live: Live, dataset: str) -> None:
    page = Browser(live)
    html = page.post(
        "/services/new/",
        {
            "name": example.NAME,
            "team": "default",
            "framework": "triton",
            "dataset": "broken",
            "model_path": "empty",
            "queue": "default",
            "replicas": "1",
            "cpu": "1",
            "memory_gib": "1",
            "gpu": "0",
            "auth": "api_key",
        },
    )
    assert "already a service" in html
    assert "model.py" in html


class Browser:
    """A session with cookies, as a browser without scripts has it."""

    def __init__(self, live: Live) -> None:
        self.url = live.console
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        self.post("/login/", {"username": "admin", "password": live.credentials["password"]})

    def post(self, path: str, fields: dict[str, str]) -> str:
        html = self.opener.open(self.url + path).read().decode()
        token = html.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        data = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token}).encode()
        try:
            answer = self.opener.open(urllib.request.Request(self.url + path, data, {"Referer": self.url + path}))
        except urllib.error.HTTPError as error:
            return error.read().decode()
        return str(answer.read().decode())
