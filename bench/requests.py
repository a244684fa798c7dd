"""The request that is measured, in both protocols: the example of the product, 64 pixels of a handwritten 8."""

from __future__ import annotations

import json
import struct

from tritonclient.grpc import service_pb2

from console.stack import example

PATHS = {
    "REST": f"/v2/models/{example.NAME}/infer",
    "gRPC": "/inference.GRPCInferenceService/ModelInfer",
}
CONTENT_TYPES = {"REST": "application/json", "gRPC": "application/grpc"}


def body(protocol: str) -> bytes:
    if protocol == "REST":
        return json.dumps(example.body(), separators=(",", ":")).encode()
    request = service_pb2.ModelInferRequest(model_name=example.NAME)
    request.inputs.add(name="predict", datatype="FP32", shape=[1, len(example.PIXELS)])
    request.raw_input_contents.append(struct.pack(f"<{len(example.PIXELS)}f", *example.PIXELS))
    return bytes(request.SerializeToString())


def headers(protocol: str, key: str | None, content_type: str | None = None) -> dict[str, str]:
    made = {"content-type": content_type or CONTENT_TYPES[protocol]}
    if key:
        # HTTP/2 knows only lower case.
        made["x-api-key"] = key
    return made


def says_the_digit(protocol: str, answer: bytes) -> bool:
    """Whether this is the whole of a good answer: one output, one value, 8."""
    if protocol == "REST":
        return [output["data"] for output in json.loads(answer)["outputs"]] == [[example.EXPECTED]]
    response = service_pb2.ModelInferResponse.FromString(answer)
    return list(response.raw_output_contents) == [struct.pack("<f", example.EXPECTED)]


def answer(protocol: str) -> bytes:
    """A good answer as bytes on the wire, for a server that only repeats it."""
    if protocol == "REST":
        output = {"name": "predict", "datatype": "FP32", "shape": [1], "data": [example.EXPECTED]}
        made = {"model_name": example.NAME, "model_version": "1", "outputs": [output]}
        return json.dumps(made, separators=(",", ":")).encode()
    response = service_pb2.ModelInferResponse(model_name=example.NAME, model_version="1")
    response.outputs.add(name="predict", datatype="FP32", shape=[1])
    response.raw_output_contents.append(struct.pack("<f", example.EXPECTED))
    message: bytes = response.SerializeToString()
    return b"\0" + struct.pack(">I", len(message)) + message
