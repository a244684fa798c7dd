"""One gRPC request from the test panel, against a gRPC server in this process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.clients.inference import grpc as inference_grpc
from services.clients.inference.call import Call, Input
from services.clients.inference.caller import Caller


class Doubling(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def ModelInfer(self, request: Any, context: Any) -> Any:
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        answer.outputs.add(name="y", datatype="FP32", shape=request.inputs[0].shape)
        answer.raw_output_contents.append((np.frombuffer(request.raw_input_contents[0], np.float32) * 2).tobytes())
        return answer


@pytest.fixture
def port() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Doubling(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def test_closing_the_channel_is_not_told_as_time_of_the_answer(port: int) -> None:
    inputs = (Input("x", "FP32", np.array([1, 2], np.float32)),)
    answers = [inference_grpc.infer(Call(Caller("127.0.0.1", port), "double", inputs)) for _ in range(3)]
    assert [answer.responses[0].outputs[0].values for answer in answers] == [[2.0, 4.0]] * 3
    assert min(answer.timing.decode_ms for answer in answers) < 50
