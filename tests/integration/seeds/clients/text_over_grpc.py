"""Text generation over gRPC as the GRPC-KServe document shows it: code points in, code points out.

Mended: the messages come from the package kserve, `string_to_ascii` and its inverse are written out (the document uses
them and does not define them), and a call carries its API key.
"""

import json
import sys

import grpc
import kserve.protocol.grpc.grpc_predict_v2_pb2 as infer_pb2
import kserve.protocol.grpc.grpc_predict_v2_pb2_grpc as infer_grpc

given = json.load(sys.stdin)
METHOD = "/inference.GRPCInferenceService/ModelInferStream"


def ascii_to_string(codes):
    return "".join(chr(code) for code in codes)


def create_request(text):
    contents = infer_pb2.InferTensorContents()
    if given["encoding"] == "int":
        contents.int_contents.extend(ord(i) for i in text)
    elif given["encoding"] == "bytes":
        contents.bytes_contents.append(text.encode())
    prompt = infer_pb2.ModelInferRequest.InferInputTensor(name="prompt", contents=contents)
    raw = []
    if given["encoding"] == "raw":
        data = text.encode()
        prompt = infer_pb2.ModelInferRequest.InferInputTensor(name="prompt", datatype="BYTES", shape=[1])
        raw = [len(data).to_bytes(4, "little") + data]
    request = infer_pb2.ModelInferRequest(
        model_name=given["model"], model_version="0", inputs=[prompt], raw_input_contents=raw
    )
    for name, value in given["parameters"].items():
        kind = "string_param" if isinstance(value, str) else "int64_param"
        setattr(request.parameters[name], kind, value)
    return request


def text_of(response):
    if response.raw_output_contents:
        raw = response.raw_output_contents[0]
        return raw[4:].decode()
    contents = response.outputs[0].contents
    if contents.int_contents:
        return ascii_to_string(contents.int_contents)
    return b"".join(contents.bytes_contents).decode()


def kind_of(response):
    if response.raw_output_contents:
        return "raw"
    return "int" if response.outputs[0].contents.int_contents else "bytes"


metadata = [tuple(pair) for pair in given["metadata"]]
with grpc.insecure_channel(given["target"]) as channel:
    request = create_request(given["prompt"])
    if given["stream"]:
        call = channel.unary_stream(
            METHOD, infer_pb2.ModelInferRequest.SerializeToString, infer_pb2.ModelInferResponse.FromString
        )
        responses = list(call(request, metadata=metadata, timeout=60))
    else:
        stub = infer_grpc.GRPCInferenceServiceStub(channel)
        responses = [stub.ModelInfer(request, metadata=metadata, timeout=60)]
pieces = [text_of(response) for response in responses if response.outputs]
kinds = sorted({kind_of(response) for response in responses if response.outputs and text_of(response)})
print(json.dumps({"text": "".join(pieces), "pieces": len(pieces), "kinds": kinds}))
