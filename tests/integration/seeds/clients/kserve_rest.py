"""KServe's asynchronous REST client, protocol V1 or V2."""

import asyncio
import json
import sys

from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

given = json.load(sys.stdin)


async def main():
    client = InferenceRESTClient(RESTConfig(protocol=given["protocol"], timeout=60))
    data = given["body"]
    if given["protocol"] == "v2":
        tensor = InferInput(name="predict", shape=[1, 64], datatype="FP32", data=given["data"])
        data = InferRequest(model_name=given["model"], infer_inputs=[tensor])
    answer = await client.infer(given["url"], data, model_name=given["model"], headers=given["headers"])
    ready = await client.is_model_ready(given["url"], given["model"], headers=given["headers"])
    live = await client.is_server_live(given["url"], headers=given["headers"]) if given["protocol"] == "v2" else None
    await client.close()
    body = answer if isinstance(answer, dict) else answer.to_dict()
    print(json.dumps({"answer": body, "ready": ready, "live": live}, default=str))


asyncio.run(main())
