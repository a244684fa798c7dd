"""Seed 000, ModelMesh: one address for all models, named in the request or by `mm-vmodel-id`; the digits answer 8."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from console.first_run import example
from tests.clients import call
from tests.integration.live import Live
from tests.integration.seeds.conftest import metadata

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]
PIXELS = [float(pixel) for pixel in example.PIXELS]
REST_BODY = {"inputs": [{"name": "predict", "shape": [1, 64], "datatype": "FP32", "data": PIXELS}]}


def grpc_request(model: str = example.NAME) -> dict[str, Any]:
    contents = {"fp32_contents": PIXELS}
    inputs = [{"name": "predict", "shape": [1, 64], "datatype": "FP32", "contents": contents}]
    return {"model_name": model, "inputs": inputs}


def over_grpc(live: Live, *headers: tuple[str, str], **request: Any) -> Any:
    sent = [*metadata(live.key), *map(list, headers)]
    return call("modelmesh_grpc", target=live.grpc_target, request=grpc_request(**request), metadata=sent)


def curl(live: Live, *options: str, model: str = example.NAME) -> Any:
    """The document's line, with this gateway's address and a key."""
    line = ["curl", "-sS", "-X", "POST", "-k", f"{live.gateway}/v2/models/{model}/infer"]
    key = ["-H", f"X-API-Key: {live.key}"]
    done = subprocess.run(
        [*line, *key, *options, "-d", json.dumps(REST_BODY)], capture_output=True, check=True, timeout=30
    )
    return json.loads(done.stdout)


def test_the_documents_grpc_request_gets_the_documents_answer(live: Live) -> None:
    answer = over_grpc(live)
    assert answer["modelName"] == example.NAME
    [output] = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("predict", "FP32", ["1"])
    assert output["contents"] == {"fp32Contents": [8.0]}


def test_the_header_mm_vmodel_id_names_the_model_and_mm_balanced_is_tolerated(live: Live) -> None:
    answer = over_grpc(live, ("mm-vmodel-id", example.NAME), ("mm-balanced", "true"))
    assert answer["outputs"][0]["contents"] == {"fp32Contents": [8.0]}


def test_the_documents_curl_line_gets_the_documents_answer(live: Live) -> None:
    answer = curl(live)
    assert answer["outputs"] == [{"name": "predict", "datatype": "FP32", "shape": [1], "data": [8]}]


def test_rest_follows_the_same_rules(live: Live) -> None:
    assert curl(live, "-H", f"mm-vmodel-id: {example.NAME}", "-H", "mm-balanced: true")["outputs"][0]["data"] == [8]
    assert "different services" in curl(live, "-H", "mm-vmodel-id: another-model")["error"]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "asyncio"])
@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_tritonclient_over_http_gets_8(live: Live, asynchronous: bool, binary: bool) -> None:
    reply = call(
        "triton_http",
        target=live.grpc_target,
        model=example.NAME,
        headers={"authorization": f"Bearer {live.key}"},
        input="predict",
        output="predict",
        data=[PIXELS],
        dtype="float32",
        datatype="FP32",
        **{"binary": binary, "asyncio": asynchronous},
    )
    assert reply == {"ready": True, "values": [8.0]}


def over_tritons_grpc(live: Live, asynchronous: bool, **given: Any) -> Any:
    headers = {"authorization": f"Bearer {live.key}"}
    return call("triton_grpc", target=live.grpc_target, headers=headers, **given, **{"asyncio": asynchronous})


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "asyncio"])
def test_tritonclient_over_grpc_gets_8(live: Live, asynchronous: bool) -> None:
    tensor = {"input": "predict", "output": "predict", "data": [PIXELS], "dtype": "float32", "datatype": "FP32"}
    reply = over_tritons_grpc(live, asynchronous, model=example.NAME, stream=False, **tensor)
    assert reply == {"values": [[8.0]]}


def test_tritonclient_streams_over_grpc(live: Live) -> None:
    live.create("seed-stream", "repeat")
    live.wait("seed-stream")
    tensor = {"input": "IN", "output": "OUT", "data": [3, 1, 4, 1], "dtype": "int32", "datatype": "INT32"}
    for asynchronous in (False, True):
        reply = over_tritons_grpc(live, asynchronous, model="seed-stream", stream=True, answers=4, **tensor)
        assert reply == {"values": [[3], [1], [4], [1]]}
    live.delete("seed-stream")
