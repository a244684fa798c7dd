"""What NVIDIA's client examples do over HTTP, written from their documentation: what each of them was answered."""

import asyncio
import json
import sys
import uuid

import numpy as np
import tritonclient.http as plain
import tritonclient.http.aio as aio
from tritonclient._plugin import InferenceServerClientPlugin
from tritonclient.utils import InferenceServerException

given = json.load(sys.stdin)
KEY = {"X-API-Key": given["key"]}
COUNTING, ONES = np.arange(16, dtype=np.int32).reshape(1, 16), np.ones((1, 16), dtype=np.int32)
EXAMPLES = {}


def example(function):
    EXAMPLES[function.__name__] = function
    return function


def pair(first, second, datatype="INT32", binary=(True, True), module=plain):
    tensors = [module.InferInput(name, [1, 16], datatype) for name in ("INPUT0", "INPUT1")]
    for tensor, data, encoding in zip(tensors, (first, second), binary, strict=True):
        tensor.set_data_from_numpy(data, binary_data=encoding)
    return tensors


def both_outputs(binary=(True, True), module=plain):
    return [module.InferRequestedOutput(f"OUTPUT{index}", binary_data=kind) for index, kind in enumerate(binary)]


def plain_values(result, *names):
    return [result.as_numpy(name).ravel().tolist() for name in names or ("OUTPUT0", "OUTPUT1")]


@example
def infer(client):
    """One input as JSON and one as bytes, the outputs the other way round; then without naming outputs."""
    inputs = pair(COUNTING, ONES, binary=(False, True))
    query = {"test_1": 1, "test_2": 2}
    first = client.infer("simple", inputs, outputs=both_outputs((True, False)), query_params=query, headers=dict(KEY))
    second = client.infer("simple", inputs, headers=dict(KEY), request_id="mine")
    return [plain_values(first), plain_values(second), second.get_response()["id"]]


@example
def asynchronous(client):
    requests = [
        client.async_infer("simple", pair(COUNTING, ONES * index), outputs=both_outputs(), headers=dict(KEY))
        for index in range(4)
    ]
    return [plain_values(request.get_result()) for request in requests]


@example
def reuse(client):
    """The same objects for several requests, with other data."""
    inputs, outputs, sums = pair(COUNTING, ONES), both_outputs(), []
    for factor in (1, 2):
        inputs[1].set_data_from_numpy(ONES * factor)
        sums.append(plain_values(client.infer("simple", inputs, outputs=outputs, headers=dict(KEY))))
    return sums


def as_texts(data):
    return np.array([str(value).encode() for value in data[0]], dtype=object).reshape(1, 16)


@example
def strings(client):
    inputs = pair(as_texts(COUNTING), as_texts(ONES), datatype="BYTES", binary=(True, False))
    result = client.infer("simple-string", inputs, outputs=both_outputs((True, False)), headers=dict(KEY))
    return [[int(text) for text in values] for values in plain_values(result)]


@example
def bytes_and_nulls(client):
    """Texts with a NUL inside, and blobs of bytes, in both encodings."""
    outputs = []
    for data in (np.array([[b"he\0llo"] * 16], dtype=object), np.array([[b"\0\1\2\3"] * 16], dtype=np.bytes_)):
        for binary in (True, False):
            tensor = plain.InferInput("INPUT0", [1, 16], "BYTES")
            tensor.set_data_from_numpy(data, binary_data=binary)
            output = plain.InferRequestedOutput("OUTPUT0", binary_data=binary)
            result = client.infer("simple-identity", [tensor], outputs=[output], headers=dict(KEY)).as_numpy("OUTPUT0")
            outputs.append([text if isinstance(text, str) else text.decode() for text in result.ravel().tolist()])
    return outputs


def one(value):
    tensor = plain.InferInput("INPUT", [1, 1], "INT32")
    tensor.set_data_from_numpy(np.full((1, 1), value, dtype=np.int32))
    return [tensor]


def in_sequence(client, model, values, identity):
    sums = []
    for index, value in enumerate(values):
        result = client.infer(
            model,
            one(value),
            outputs=[plain.InferRequestedOutput("OUTPUT")],
            headers=dict(KEY),
            sequence_id=identity,
            sequence_start=index == 0,
            sequence_end=index == len(values) - 1,
        )
        sums.append(int(result.as_numpy("OUTPUT").ravel()[0]))
    return sums


@example
def sequences(client):
    return [
        in_sequence(client, "simple-sequence", given["values"], 1000),
        in_sequence(client, "simple-sequence", given["values"], str(uuid.uuid4())),
        in_sequence(client, "simple-dyna-sequence", given["values"], 1001),
    ]


@example
def health_and_metadata(client):
    server = client.get_server_metadata(headers=dict(KEY))
    model = client.get_model_metadata("simple", headers=dict(KEY), query_params={"test_1": 1})
    return {
        "live": client.is_server_live(query_params={"test_1": 1}),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("simple", headers=dict(KEY)),
        "other_ready": client.is_model_ready("wrong-model-name", headers=dict(KEY)),
        "extensions": server["extensions"],
        "model": model,
    }


@example
def classification(client):
    tensor = plain.InferInput("PIXELS", [2, 4], "FP32")
    tensor.set_data_from_numpy(np.array([[1, 3, 2, 0], [9, 0, 0, 8]], dtype=np.float32))
    output = plain.InferRequestedOutput("SCORES", class_count=2)
    result = client.infer("brightest", [tensor], outputs=[output], headers=dict(KEY)).as_numpy("SCORES")
    return [[text.decode().split(":")[1:] for text in row] for row in result]


@example
def compressed_answers(client):
    """The client asks for a compressed answer; an uncompressed one is right as well."""
    result = client.infer("simple", pair(COUNTING, ONES), headers=dict(KEY), response_compression_algorithm="gzip")
    return plain_values(result)


@example
def key_by_plugin(client):
    class Key(InferenceServerClientPlugin):
        def __call__(self, request):
            request.headers.update(KEY)

    client.register_plugin(Key())
    try:
        return plain_values(client.infer("simple", pair(COUNTING, ONES)))
    finally:
        client.unregister_plugin()


@example
def asyncio_infer(client):
    async def run():
        async with aio.InferenceServerClient(given["target"]) as asynchronous:
            inputs = pair(COUNTING, -ONES, binary=(False, True), module=aio)
            outputs = both_outputs((True, False), module=aio)
            query = {"test_1": 1, "test_2": 2}
            answers = await asyncio.gather(
                *(
                    asynchronous.infer("simple", inputs, outputs=outputs, headers=dict(KEY), query_params=query)
                    for _ in range(3)
                )
            )
            return [plain_values(answer) for answer in answers]

    return asyncio.run(run())


def repeat(values):
    data = (("IN", "INT32", values), ("DELAY", "UINT32", [0] * len(values)), ("WAIT", "UINT32", [0]))
    tensors = [plain.InferInput(name, [len(content)], datatype) for name, datatype, content in data]
    for tensor, (_, datatype, content) in zip(tensors, data, strict=True):
        tensor.set_data_from_numpy(np.array(content, dtype=datatype.lower()))
    return tensors


def refused(call, *arguments, **more):
    try:
        return {"answer": str(call(*arguments, headers=dict(KEY), **more))[:200]}
    except InferenceServerException as error:
        return [error.status(), error.message()]


@example
def refusals(client):
    region = pair(COUNTING, ONES)
    region[0].set_shared_memory("region", 64)
    into_region = both_outputs()
    into_region[0].set_shared_memory("region", 64)
    return {
        "unknown model": refused(client.get_model_metadata, "wrong-model-name"),
        "unknown model infer": refused(client.infer, "wrong-model-name", pair(COUNTING, ONES)),
        "unknown version": refused(client.infer, "simple", pair(COUNTING, ONES), model_version="7"),
        "shape": refused(client.infer, "simple", pair(COUNTING, ONES)[:1]),
        "config": refused(client.get_model_config, "simple"),
        "statistics": refused(client.get_inference_statistics, "simple"),
        "all statistics": refused(client.get_inference_statistics),
        "index": refused(client.get_model_repository_index),
        "load": refused(client.load_model, "simple"),
        "load with files": refused(client.load_model, "simple", config="{}", files={"file:1/model.py": b"x"}),
        "unload": refused(client.unload_model, "simple", unload_dependents=True),
        "shared memory": refused(client.get_system_shared_memory_status),
        "register": refused(client.register_system_shared_memory, "region", "/region", 64),
        "unregister": refused(client.unregister_system_shared_memory),
        "cuda": refused(client.get_cuda_shared_memory_status),
        "register cuda": refused(client.register_cuda_shared_memory, "region", b"handle", 0, 64),
        "unregister cuda": refused(client.unregister_cuda_shared_memory),
        "trace": refused(client.get_trace_settings),
        "trace of a model": refused(client.get_trace_settings, "simple"),
        "set trace": refused(client.update_trace_settings, settings={"trace_level": ["TIMESTAMPS"]}),
        "log": refused(client.get_log_settings),
        "set log": refused(client.update_log_settings, {"log_verbose_level": 1}),
        "input in shared memory": refused(client.infer, "simple", region),
        "output in shared memory": refused(client.infer, "simple", pair(COUNTING, ONES), outputs=into_region),
        "decoupled": refused(client.infer, "repeat-int32", repeat([1])),
        "gzip": refused(client.infer, "simple", pair(COUNTING, ONES), request_compression_algorithm="gzip"),
        "deflate": refused(client.infer, "simple", pair(COUNTING, ONES), request_compression_algorithm="deflate"),
    }


def run(function):
    try:
        with plain.InferenceServerClient(given["target"], concurrency=4) as client:
            return {"said": function(client)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


print(json.dumps({name: run(function) for name, function in EXAMPLES.items()}))
