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
    infer_input = plain.InferInput(given["input"], list(data.shape), given["datatype"])
    infer_input.set_data_from_numpy(data)
    return infer_input


async def asynchronous():
    async with aio.InferenceServerClient(given["target"]) as client:
        if not given["stream"]:
            answer = await client.infer(given["model"], [tensor()], headers=given["headers"])
            return [answer.as_numpy(given["output"]).tolist()]

        async def requests():
            yield {"model_name": given["model"], "inputs": [tensor()]}

        results = []
        answers = client.stream_infer(requests(), headers=given["headers"])
        async for answer, error in answers:
            assert error is None, error
            results.append(answer.as_numpy(given["output"]).tolist())
            if len(results) == given["answers"]:
                answers.cancel()
                return results
        return results


def synchronous():
    with plain.InferenceServerClient(given["target"]) as client:
        if not given["stream"]:
            answer = client.infer(given["model"], [tensor()], headers=given["headers"])
            return [answer.as_numpy(given["output"]).tolist()]
        answers = queue.Queue()
        client.start_stream(lambda result, error: answers.put((result, error)), headers=given["headers"])
        client.async_stream_infer(given["model"], [tensor()])
        results = [answers.get(timeout=20) for _ in range(given["answers"])]
        client.stop_stream()
        assert all(error is None for _, error in results), results
        return [result.as_numpy(given["output"]).tolist() for result, _ in results]


values = asyncio.run(asynchronous()) if given["asyncio"] else synchronous()
print(json.dumps({"values": values}))
