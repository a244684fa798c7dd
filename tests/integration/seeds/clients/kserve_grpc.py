"""KServe's asynchronous gRPC client with its default retries, over TLS or in the clear."""

import asyncio
import json
import sys

import grpc
from kserve import InferenceGRPCClient, InferInput, InferRequest

given = json.load(sys.stdin)


def client(**options):
    if given.get("ca"):
        options |= {"use_ssl": True, "root_certificates": given["ca"]}
    if given.get("certificate"):
        options |= {"private_key": given["private_key"], "certificate_chain": given["certificate"]}
    return InferenceGRPCClient(url=given["target"], timeout=60, **options)


async def main():
    headers = [tuple(pair) for pair in given["headers"]]
    connection = client()
    tensor = InferInput(name="predict", shape=[1, 64], datatype="FP32", data=given["data"])
    answer = await connection.infer(InferRequest(model_name=given["model"], infer_inputs=[tensor]), headers=headers)
    report = {
        "live": await connection.is_server_live(headers=headers),
        "ready": await connection.is_server_ready(headers=headers),
        "model_ready": await connection.is_model_ready(given["model"], headers=headers),
        "values": answer.outputs[0].as_numpy().tolist(),
        "model": answer.model_name,
    }
    try:
        report["other"] = await connection.is_model_ready("no-such-model", headers=headers)
    except grpc.RpcError as error:
        report["other"] = error.code().name
    try:
        await connection.infer(InferRequest(model_name=given["model"], infer_inputs=[tensor]))
    except grpc.RpcError as error:
        report["without_key"] = error.code().name
    await connection.close()
    print(json.dumps(report))


asyncio.run(main())
