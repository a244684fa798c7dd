"""The request of ModelMesh's documentation, written as grpcurl would write it: values by type, no raw bytes."""

import json
import sys

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

given = json.load(sys.stdin)
request = service_pb2.ModelInferRequest()
json_format.ParseDict(given["request"], request)
# What the documentation tells every client to set: the name resolver and the balancer.
options = (("grpc.lb_policy_name", "round_robin"),)
with grpc.insecure_channel(f"dns:///{given['target']}", options=options) as channel:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    answer = stub.ModelInfer(request, metadata=[tuple(pair) for pair in given["metadata"]], timeout=30)
print(json.dumps(json_format.MessageToDict(answer)))
