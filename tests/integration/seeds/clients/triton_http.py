"""tritonclient over HTTP: plain, or its asyncio variant; JSON or binary tensors."""

import asyncio
import json
import sys

import numpy as np
import tritonclient.http as plain
import tritonclient.http.aio as aio

given = json.load(sys.stdin)


def tensor(module):
    data = np.array(given["data"], given["dtype"])
    infer_input = module.InferInput(given["input"], list(data.shape), given["datatype"])
    infer_input.set_data_from_numpy(data, binary_data=given["binary"])
    return infer_input


async def asynchronous():
    async with aio.InferenceServerClient(given["target"]) as client:
        ready = await client.is_model_ready(given["model"], headers=given["headers"])
        answer = await client.infer(given["model"], [tensor(aio)], headers=given["headers"])
        return ready, answer.as_numpy(given["output"]).tolist()


def synchronous():
    with plain.InferenceServerClient(given["target"]) as client:
        ready = client.is_model_ready(given["model"], headers=given["headers"])
        answer = client.infer(given["model"], [tensor(plain)], headers=given["headers"])
        return ready, answer.as_numpy(given["output"]).tolist()


ready, values = asyncio.run(asynchronous()) if given["asyncio"] else synchronous()
print(json.dumps({"ready": ready, "values": values}))
