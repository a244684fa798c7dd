"""The V2 doors in front of the real Triton: raw tensors, and what it is never asked."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http

from console.first_run.example import PIXELS
from services.gateway.snapshot import Endpoint, Snapshot
from tests.servers.gateway.rig import Gateway, until
from tests.servers.triton import context_for, runtime_root, serve, shared_samples
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
NAME = "mnist-onnx"
INFER = f"/v2/models/{NAME}/infer"
KEY = snapshots.TEAM


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    tree = shared_samples(tmp_path_factory) / NAME
    context = context_for(NAME, tree, tmp_path_factory.mktemp("t"), runtime_root())
    with serve(context) as triton:
        endpoint = Endpoint("127.0.0.1", triton.ports.http, triton.ports.grpc)
        snapshot = Snapshot(services=(snapshots.ready(NAME, endpoint),), keys=snapshots.KEYS)
        prepared = Gateway.prepared(tmp_path_factory.mktemp("g") / "g", snapshot)
        try:
            prepared.run()
            until(lambda: prepared.call("GET", f"/v2/models/{NAME}/ready", X_API_Key=KEY).status == 200)
            yield prepared
        finally:
            prepared.kill()


def test_raw_bytes_are_the_tensor(gateway: Gateway) -> None:
    raw = struct.pack("<64f", *PIXELS)
    for prefix in ("", f"/services/{NAME}"):
        answer = gateway.call("POST", prefix + INFER, raw, X_API_Key=KEY, Content_Type="application/octet-stream")
        assert answer.status == 200, answer.body
        head = int(answer.headers["inference-header-content-length"])
        # The outputs' bytes stand behind the header in its order, which Triton chooses.
        at, label = head, b""
        for output in json.loads(answer.body[:head])["outputs"]:
            size = output["parameters"]["binary_data_size"]
            label = answer.body[at : at + size] if output["name"] == "label" else label
            at += size
        assert struct.unpack("<q", label) == (8,)


@pytest.mark.parametrize("binary", [True, False])
def test_the_client_of_triton_passes_in_either_encoding(gateway: Gateway, binary: bool) -> None:
    client = tritonclient.http.InferenceServerClient(f"{gateway.address}/services/{NAME}")
    tensor = tritonclient.http.InferInput("predict", [1, 64], "FP32")
    tensor.set_data_from_numpy(np.array([PIXELS], dtype=np.float32), binary_data=binary)
    answer = client.infer(NAME, [tensor], headers={"X-API-Key": KEY})
    assert answer.as_numpy("label").tolist() == [8]
    client.close()


def test_shared_memory_is_refused_before_triton_sees_it(gateway: Gateway) -> None:
    client = tritonclient.http.InferenceServerClient(gateway.address)
    tensor = tritonclient.http.InferInput("predict", [1, 64], "FP32")
    tensor.set_shared_memory("region", 256)
    with pytest.raises(tritonclient.utils.InferenceServerException, match="not allowed here"):
        client.infer(NAME, [tensor], headers={"X-API-Key": KEY})
    client.close()
