"""Requests for classes in front of the real Triton: it gives those that it can, and lives on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from services.frameworks.triton.describe import describe
from services.gateway.snapshot import Endpoint, Snapshot
from tests.corpus.case import array, texts
from tests.corpus.folders import python
from tests.corpus.requests import TEXTS
from tests.corpus.tensors import tensor
from tests.integration.gateway.stage import send
from tests.servers.gateway.rig import Gateway, until
from tests.servers.triton import RunningTriton, serve_several
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
KEY = {"x-api-key": snapshots.TEAM}


def _same(datatype: str, dims: str) -> str:
    return tensor("input", "IN", datatype, dims) + tensor("output", "OUT", datatype, dims)


MODELS = {
    "texts": TEXTS,
    "texts-of-one": TEXTS.replace("-1", "1"),
    "free": _same("FP32", "-1"),
    "three": _same("FP32", "3"),
    "rows": "max_batch_size: 4\n" + _same("FP32", "3"),
    "halves": _same("FP16", "3"),
    "flags": _same("BOOL", "3"),
}
THREE = array([1, 3, 2])
ENDS = {
    "texts": texts("a"),
    "texts-of-one": texts("a"),
    "free": array([]),
}
"""Triton ends when it is asked for the classes of these."""


class Classified:
    """Triton with all models, and the gateway as the console tells it of them."""

    def __init__(self, stack: ExitStack, factory: pytest.TempPathFactory) -> None:
        trees = {name: factory.mktemp(name) / name for name in MODELS}
        for name, tree in trees.items():
            python(MODELS[name])(tree)
        self.triton: RunningTriton = stack.enter_context(serve_several(trees, factory.mktemp("t")))
        endpoint = Endpoint(self.triton.listeners.http, self.triton.listeners.grpc)
        classes = {name: describe(tree, {}, name).classes for name, tree in trees.items()}
        services = tuple(snapshots.ready(name, endpoint, classes=classes[name]) for name in MODELS)
        snapshot = Snapshot(services, snapshots.KEYS)
        self.gateway = stack.enter_context(Gateway.started(factory.mktemp("g") / "g", snapshot))
        for name in MODELS:
            path = f"/v2/models/{name}/ready"
            until(lambda path=path: self.gateway.call("GET", path, X_API_Key=snapshots.TEAM).status == 200)

    def ask(self, protocol: Any, model: str, values: Any, classes: int = 1, *, binary: bool = True) -> Any:
        client = protocol.InferenceServerClient(self.gateway.address)
        given = protocol.InferInput("IN", values.shape, np_to_triton_dtype(values.dtype))
        encoding: dict[str, Any] = {"binary_data": binary} if protocol is tritonclient.http else {}
        given.set_data_from_numpy(values, **encoding)
        requested_output = protocol.InferRequestedOutput("OUT", class_count=classes, **encoding)
        try:
            return client.infer(model, [given], outputs=[requested_output], headers=dict(KEY)).as_numpy("OUT").tolist()
        finally:
            client.close()


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classified]:
    with ExitStack() as stack:
        yield Classified(stack, tmp_path_factory)


@pytest.fixture(autouse=True)
def alive(classified: Classified) -> Iterator[None]:
    yield
    assert classified.triton.process.poll() is None, classified.triton.log[-2000:]
    assert classified.ask(tritonclient.http, "three", THREE, 0) == THREE.tolist()


@pytest.mark.parametrize("protocol", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
def test_classes_that_triton_can_give_are_given(classified: Classified, protocol: Any) -> None:
    assert classified.ask(protocol, "three", THREE, 2) == [b"3.000000:1", b"2.000000:2"]
    assert classified.ask(protocol, "rows", array([THREE, -THREE])) == [[b"3.000000:1"], [b"-1.000000:0"]]
    if protocol is tritonclient.http:
        assert classified.ask(protocol, "three", THREE, binary=False) == ["3.000000:1"]


@pytest.mark.parametrize("model", ENDS)
@pytest.mark.parametrize("protocol", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
def test_classes_that_would_end_triton_are_refused(classified: Classified, protocol: Any, model: str) -> None:
    for binary in (True, False):
        with pytest.raises(InferenceServerException, match="The output OUT cannot be classified"):
            classified.ask(protocol, model, ENDS[model], binary=binary)


@pytest.mark.parametrize("model", ENDS)
def test_in_a_stream_as_well(classified: Classified, model: str) -> None:
    bad = pb.ModelInferRequest(model_name=model)
    given = bad.inputs.add(name="IN", datatype="FP32" if model == "free" else "BYTES", shape=ENDS[model].shape)
    given.contents.bytes_contents.extend(ENDS[model].tolist() if model != "free" else [])
    bad.outputs.add(name="OUT").parameters["classification"].int64_param = 1
    with tritonclient.grpc.InferenceServerClient(classified.gateway.address) as client:
        stub: service_pb2_grpc.GRPCInferenceServiceStub = client._client_stub
        answers = send(stub.ModelStreamInfer, iter([bad, bad]), key=snapshots.TEAM)
    assert len(answers) == 2 and all("cannot be classified" in answer.error_message for answer in answers)


@pytest.mark.parametrize("protocol", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
@pytest.mark.parametrize("values", [THREE.astype(np.float16), THREE > 1], ids=["halves", "flags"])
def test_of_other_types_triton_says_itself_that_it_has_no_classes(
    classified: Classified, protocol: Any, values: Any
) -> None:
    model = "flags" if values.dtype == bool else "halves"
    with pytest.raises(InferenceServerException, match="unsupported type"):
        classified.ask(protocol, model, values)


@pytest.mark.parametrize("protocol", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
def test_a_batch_of_no_rows_is_refused_by_triton(classified: Classified, protocol: Any) -> None:
    with pytest.raises(InferenceServerException, match="input byte size mismatch"):
        classified.ask(protocol, "rows", array([]).reshape(0, 3))
