"""Compressed requests: 415 over REST, UNIMPLEMENTED over gRPC, whatever their size, and what is taken instead."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from tests.integration.gateway.doors import BOTH, CHAT, COMPLETIONS, Doors
from tests.integration.gateway.stage import infer_request

pytestmark = pytest.mark.integration
MIB = 1 << 20
INFER, PREDICT = "/v2/models/mnist/infer", "/v1/models/mnist:predict"
PATHS = [INFER, PREDICT, CHAT, COMPLETIONS, "/services/llama" + CHAT, "/services/mnist" + INFER]
HELLO = b'{"model":"llama","messages":[],"inputs":[]}'
LENGTH = "Inference-Header-Content-Length"
WORDS = "Content-Encoding is not supported here: send the body as it is."
PACKED_WORDS = "Compressed messages are not supported here: send them as they are."
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "gzip, identity": gzip.compress,
    "identity,gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": bytes,
    "zstd": bytes,
    "compress": bytes,
    "x": bytes,
    "identity;q=1": bytes,
}
PLAIN = ["identity", "Identity", "IDENTITY", "", " ", ",", "identity, identity", ",identity,"]


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_body_is_415_at_any_size(doors: Doors, coding: str) -> None:
    """Also one that is shorter than its JSON was, one that looks deeply nested, and one that fills all buffers."""
    before = doors.count()
    bodies = {len(body): CODINGS[coding](body) for body in (HELLO, b"", b"[" * 100_000, os.urandom(3 * MIB))}
    for path in PATHS:
        for size, sent in bodies.items():
            for headers in ({}, {"Inference_Header_Content_Length": str(size)}):
                answer = doors.post(path, sent, key=BOTH, Content_Encoding=coding, **headers)
                assert (answer.status, answer.error) == (415, WORDS), (path, size)
                assert answer.headers["accept-encoding"] == "identity"
    assert doors.count() == before


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("rows", [1, 1000])
def test_tritons_client_is_told_so(doors: Doors, algorithm: str, rows: int) -> None:
    data = np.zeros((rows, 16), np.float32)
    given = tritonclient.http.InferInput("x", list(data.shape), "FP32")
    given.set_data_from_numpy(data)
    client = tritonclient.http.InferenceServerClient(doors.gateway.address)
    with pytest.raises(InferenceServerException, match="Content-Encoding is not supported") as caught:
        client.infer("mnist", [given], headers={"X-API-Key": BOTH}, request_compression_algorithm=algorithm)
    assert caught.value.status() == "415"
    client.close()


@pytest.mark.parametrize("coding", PLAIN)
def test_a_body_that_says_it_is_not_compressed_goes_on_without_saying_so(doors: Doors, coding: str) -> None:
    for path, seen in ((INFER, doors.backend), (PREDICT, doors.bridge), (CHAT, doors.backend)):
        assert doors.post(path, HELLO, key=BOTH, Content_Encoding=coding).status == 200
        assert "content-encoding" not in seen.last()["headers"]


def test_a_public_service_says_so_without_a_key(doors: Doors) -> None:
    answer = doors.gateway.call("POST", "/services/open-text" + CHAT, HELLO, Content_Encoding="gzip")
    assert (answer.status, answer.error) == (415, WORDS)
    answer = doors.gateway.call("POST", "/services/open-text" + CHAT, HELLO, Content_Type="text/plain")
    assert (answer.status, "application/json" in answer.error) == (415, True)


def test_what_the_headers_refuse_is_not_judged_by_its_body(doors: Doors) -> None:
    """A body that is refused by itself, where the headers name two services, or one that there is not."""
    deep = b"[" * 100
    answer = doors.post(INFER, deep, key=BOTH, mm_vmodel_id="small")
    assert (answer.status, "names different services" in answer.error) == (400, True)
    answer = doors.post("/v2/models/Mnist/infer", deep, key=BOTH)
    assert (answer.status, answer.error.startswith("No service is named Mnist")) == (404, True)


def spec(name: str) -> bytes:
    """A PredictRequest with nothing but its model's name, and something that shrinks."""
    named = bytes([10, len(name)]) + name.encode()
    return bytes([10, len(named)]) + named + bytes([26, 128, 1]) + bytes(128)


UNARY = {
    "/inference.GRPCInferenceService/ModelInfer": infer_request("mnist", MIB).SerializeToString(),
    "/inference.GRPCInferenceService/ModelMetadata": pb.ModelMetadataRequest(
        name="mnist", version="1" * 500
    ).SerializeToString(),
    "/inference.GRPCInferenceService/ModelReady": pb.ModelReadyRequest(
        name="mnist", version="1" * 500
    ).SerializeToString(),
    "/inference.GRPCInferenceService/ModelInferStream": infer_request("llama", MIB).SerializeToString(),
    "/inference.GRPCInferenceService/ModelStreamInfer": infer_request("mnist", MIB).SerializeToString(),
    "/tensorflow.serving.PredictionService/Predict": spec("mnist"),
    "/tensorflow.serving.PredictionService/GetModelMetadata": spec("mnist"),
}


@pytest.mark.parametrize("method", UNARY)
@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("named", [(), (("mm-vmodel-id", "mnist"),)])
def test_a_compressed_message_is_unimplemented(doors: Doors, method: str, compression: Any, named: Any) -> None:
    """As gRPC has it (doc/compression.md)."""
    before = doors.count()
    with doors.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call = channel.unary_unary(method)
        call(UNARY[method], metadata=(("x-api-key", BOTH), *named), timeout=10, compression=compression)
    error = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.UNIMPLEMENTED, PACKED_WORDS)
    assert doors.count() == before


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_tritons_client_over_grpc_is_told_so_and_goes_on_without(doors: Doors, algorithm: str) -> None:
    data = np.zeros((1000, 16), np.float32)
    given = tritonclient.grpc.InferInput("x", list(data.shape), "FP32")
    given.set_data_from_numpy(data)
    client = tritonclient.grpc.InferenceServerClient(doors.gateway.address)
    headers = {"x-api-key": BOTH}
    with pytest.raises(InferenceServerException, match="Compressed messages are not supported here") as caught:
        client.infer("mnist", [given], headers=headers, compression_algorithm=algorithm)
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"
    assert client.infer("mnist", [given], headers=headers).get_response().model_name == "mnist"
    client.close()
