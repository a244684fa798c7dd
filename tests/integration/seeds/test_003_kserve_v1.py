"""Seed 003, KServe: V1 `:predict` by host name, and TensorFlow Serving's gRPC, on a Triton service."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import pytest

from console.first_run import example
from tests.clients import call
from tests.integration.live import Live
from tests.integration.seeds.conftest import metadata

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]
PICTURE = b"\x89PNG picture"
B64 = base64.b64encode(PICTURE).decode()
PIXELS = [float(pixel) for pixel in example.PIXELS]


def curl(live: Live, body: dict[str, Any], host: str = "flower-sample.localhost") -> Any:
    """The document's line, with a key."""
    line = ["curl", "-sS", "-H", f"Host: {host}", f"{live.gateway}/v1/models/flower-sample:predict"]
    key = ["-H", f"Authorization: Bearer {live.key}"]
    done = subprocess.run([*line, *key, "-d", json.dumps(body)], capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)


def test_the_documents_request_gets_predictions_row_by_row(live: Live, flower: str) -> None:
    rows = [{"image_bytes": {"b64": B64}, "key": key} for key in ("1", "2")]
    expected = {"prediction": [0x89], "scores": [0.0, 0.0, 1.0]}
    assert curl(live, {"instances": rows}) == {"predictions": [{**expected, "key": [key]} for key in ("1", "2")]}


def test_the_column_format_gets_outputs(live: Live, flower: str) -> None:
    answer = curl(live, {"inputs": {"image_bytes": [[{"b64": B64}]], "key": [["1"]]}})
    assert answer == {"outputs": {"prediction": [[0x89]], "scores": [[0.0, 0.0, 1.0]], "key": [["1"]]}}


def test_a_host_that_names_another_service_is_refused(live: Live, flower: str) -> None:
    body = {"instances": [{"image_bytes": {"b64": B64}, "key": "1"}]}
    assert "different" in curl(live, body, host=f"{example.NAME}.localhost")["error"]


def test_rows_that_do_not_fit_say_which(live: Live, flower: str) -> None:
    answer = curl(live, {"instances": [{"image_bytes": {"b64": B64}, "key": "1"}, {"key": "2"}]})
    assert "image_bytes" in answer["error"]
    assert "1" in answer["error"]


@pytest.mark.parametrize("host", [[], [["host", "flower-sample.localhost"]]], ids=["by name", "by host too"])
def test_tensorflow_servings_stub_predicts(live: Live, flower: str, host: list[list[str]]) -> None:
    inputs = {
        "image_bytes": {"dtype": "string", "values": ["\tpicture"], "shape": [1, 1]},
        "key": {"dtype": "string", "values": ["1"], "shape": [1, 1]},
    }
    reply = call(
        "tensorflow_serving",
        "clients-tensorflow",
        target=live.grpc_target,
        model=flower,
        inputs=inputs,
        metadata=[*metadata(live.key), *host],
    )
    assert reply["name"] == flower
    assert reply["outputs"] == {"prediction": [9], "scores": [1.0, 0.0, 0.0], "key": ["1"]}
    assert reply["signature"] == {"inputs": ["image_bytes", "key"], "outputs": ["key", "prediction", "scores"]}


@pytest.mark.parametrize("content", [False, True], ids=["values", "bytes"])
def test_tensorflow_servings_stub_reads_digits(live: Live, content: bool) -> None:
    inputs = {"predict": {"dtype": "float", "values": PIXELS, "shape": [1, 64], "content": content}}
    reply = call(
        "tensorflow_serving",
        "clients-tensorflow",
        target=live.grpc_target,
        model=example.NAME,
        inputs=inputs,
        metadata=metadata(live.key),
    )
    assert reply["outputs"] == {"predict": [8.0]}


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_kserves_rest_client_infers_and_asks_for_readiness(live: Live, protocol: str) -> None:
    reply = call(
        "kserve_rest",
        protocol=protocol,
        url=live.gateway,
        model=example.NAME,
        data=PIXELS,
        body={"instances": [PIXELS]},
        headers={"authorization": f"Bearer {live.key}"},
    )
    assert reply["ready"] is True
    if protocol == "v1":
        assert reply["answer"] == {"predictions": [8.0]}
    else:
        assert reply["live"] is True
        assert reply["answer"]["outputs"][0]["data"] == [8.0]
