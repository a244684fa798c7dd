"""tritonclient over gRPC: unary and streaming, plain and its asyncio variant."""

import asyncio
import json
import queue
import sys

import numpy as np
import tritonclient.grpc as plain
import tritonclient.grpc.aio as aio

given = json.load(sys.stdin)


def tensor():
    data = np.array(given["data"], given["dtype"])
    made = plain.InferInput(given["input"], list(data.shape), given["datatype"])
    made.set_data_from_numpy(data)
    return made


async def asynchronous():
    async with aio.InferenceServerClient(given["target"]) as client:
        if not given["stream"]:
            answer = await client.infer(given["model"], [tensor()], headers=given["headers"])
            return [answer.as_numpy(given["output"]).tolist()]

        async def requests():
            yield {"model_name": given["model"], "inputs": [tensor()]}

        found = []
        answers = client.stream_infer(requests(), headers=given["headers"])
        async for answer, error in answers:
            assert error is None, error
            found.append(answer.as_numpy(given["output"]).tolist())
            if len(found) == given["answers"]:
                answers.cancel()
                return found
        return found


def synchronous():
    with plain.InferenceServerClient(given["target"]) as client:
        if not given["stream"]:
            answer = client.infer(given["model"], [tensor()], headers=given["headers"])
            return [answer.as_numpy(given["output"]).tolist()]
        answers = queue.Queue()
        client.start_stream(lambda result, error: answers.put((result, error)), headers=given["headers"])
        client.async_stream_infer(given["model"], [tensor()])
        found = [answers.get(timeout=20) for _ in range(given["answers"])]
        client.stop_stream()
        assert all(error is None for _, error in found), found
        return [result.as_numpy(given["output"]).tolist() for result, _ in found]


values = asyncio.run(asynchronous()) if given["asyncio"] else synchronous()
print(json.dumps({"values": values}))
