"""TensorFlow Serving's own stub, as KServe's gRPC sample uses it, and `GetModelMetadata` beside it."""

import json
import sys

import grpc
import numpy as np
from google.protobuf import any_pb2  # noqa: F401  (the metadata's signature map travels as Any)
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

given = json.load(sys.stdin)


def make(value):
    if value["dtype"] == "string":
        texts = [text.encode() for text in value["values"]]
        proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=texts)
    elif value.get("content"):
        data = np.array(value["values"], np.float32)
        proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=data.tobytes())
    else:
        proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=np.ravel(value["values"]).tolist())
    for size in value["shape"]:
        proto.tensor_shape.dim.add(size=size)
    return proto


def values_of(tensor):
    for name in ("float_val", "int64_val", "int_val", "double_val", "string_val"):
        if values := list(getattr(tensor, name)):
            return [item.decode() if isinstance(item, bytes) else item for item in values]
    kind = {types_pb2.DT_FLOAT: np.float32, types_pb2.DT_INT64: np.int64, types_pb2.DT_INT32: np.int32}[tensor.dtype]
    return np.frombuffer(tensor.tensor_content, kind).tolist()


channel = grpc.insecure_channel(given["target"])
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
request = predict_pb2.PredictRequest()
request.model_spec.name = given["model"]
request.model_spec.signature_name = "serving_default"
for name, value in given["inputs"].items():
    request.inputs[name].CopyFrom(make(value))
# Send with host header override
metadata = [tuple(pair) for pair in given["metadata"]]
response = stub.Predict(request, 30.0, metadata=metadata)
metadata_request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
metadata_request.model_spec.name = given["model"]
model_metadata = stub.GetModelMetadata(metadata_request, 30.0, metadata=metadata)
signatures = get_model_metadata_pb2.SignatureDefMap()
assert model_metadata.metadata["signature_def"].Unpack(signatures)
signature = signatures.signature_def["serving_default"]
print(
    json.dumps(
        {
            "name": response.model_spec.name,
            "outputs": {name: values_of(tensor) for name, tensor in response.outputs.items()},
            "shapes": {
                name: [dim.size for dim in tensor.tensor_shape.dim] for name, tensor in response.outputs.items()
            },
            "signature": {"inputs": sorted(signature.inputs), "outputs": sorted(signature.outputs)},
        }
    )
)
