"""What NVIDIA's client examples do over gRPC, written from their documentation: what each of them was answered."""

import asyncio
import json
import queue
import sys
import time
import uuid

import grpc
import numpy as np
import tritonclient.grpc as plain
import tritonclient.grpc.aio as aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, deserialize_bytes_tensor

given = json.load(sys.stdin)
KEY = {"x-api-key": given["key"]}
COUNTING, ONES = np.arange(16, dtype=np.int32).reshape(1, 16), np.ones((1, 16), dtype=np.int32)
EXAMPLES = {}


def example(function):
    EXAMPLES[function.__name__] = function
    return function


def pair(first, second, datatype="INT32"):
    tensors = [plain.InferInput(name, [1, 16], datatype) for name in ("INPUT0", "INPUT1")]
    for tensor, data in zip(tensors, (first, second), strict=True):
        tensor.set_data_from_numpy(data)
    return tensors


def both_outputs():
    return [plain.InferRequestedOutput("OUTPUT0"), plain.InferRequestedOutput("OUTPUT1")]


def values(result):
    return [result.as_numpy(name).ravel().tolist() for name in ("OUTPUT0", "OUTPUT1")]


@example
def infer(client):
    headers = {**KEY, "test": "1"}
    first = client.infer("simple", pair(COUNTING, ONES), outputs=both_outputs(), headers=headers, client_timeout=30)
    second = client.infer("simple", pair(COUNTING, ONES), headers=KEY, request_id="mine")
    return [values(first), values(second), second.get_response().id]


@example
def asynchronous(client):
    answers = queue.Queue()
    for index in range(4):
        client.async_infer(
            "simple",
            pair(COUNTING, ONES * index),
            lambda result, error: answers.put(error or result),
            outputs=both_outputs(),
            headers=KEY,
            request_id=str(index),
        )
    results = [answers.get(timeout=30) for _ in range(4)]
    return {result.get_response().id: values(result) for result in results}


@example
def reuse(client):
    inputs, outputs, sums = pair(COUNTING, ONES), both_outputs(), []
    for factor in (1, 2):
        inputs[1].set_data_from_numpy(ONES * factor)
        sums.append(values(client.infer("simple", inputs, outputs=outputs, headers=KEY)))
    return sums


@example
def strings(client):
    texts = [np.array([[str(value).encode() for value in data[0]]], dtype=object) for data in (COUNTING, ONES)]
    result = client.infer("simple-string", pair(*texts, datatype="BYTES"), outputs=both_outputs(), headers=KEY)
    return [[int(text) for text in row] for row in values(result)]


@example
def bytes_and_nulls(client):
    outputs = []
    for data in (np.array([[b"he\0llo"] * 16], dtype=object), np.array([[b"\0\1\2\3"] * 16], dtype=np.bytes_)):
        tensor = plain.InferInput("INPUT0", [1, 16], "BYTES")
        tensor.set_data_from_numpy(data)
        result = client.infer("simple-identity", [tensor], headers=KEY).as_numpy("OUTPUT0")
        outputs.append([text.decode() for text in result.ravel().tolist()])
    return outputs


def one(value):
    tensor = plain.InferInput("INPUT", [1, 1], "INT32")
    tensor.set_data_from_numpy(np.full((1, 1), value, dtype=np.int32))
    return [tensor]


def steps(identity):
    """The requests of a sequence: value and options."""
    last = len(given["values"]) - 1
    for index, value in enumerate(given["values"]):
        yield value, {"sequence_id": identity, "sequence_start": index == 0, "sequence_end": index == last}


@example
def sequences(client):
    return [
        [
            int(client.infer(model, one(value), headers=KEY, **options).as_numpy("OUTPUT").ravel()[0])
            for value, options in steps(identity)
        ]
        for model, identity in (
            ("simple-sequence", 2000),
            ("simple-sequence", str(uuid.uuid4())),
            ("simple-dyna-sequence", 2001),
        )
    ]


def in_one_stream(client, model, identities):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error or result), headers=KEY, stream_timeout=30)
    for place, identity in enumerate(identities):
        for count, (value, options) in enumerate(steps(identity)):
            client.async_stream_infer(model, one(value), request_id=f"{place}_{count}", **options)
    results = [answers.get(timeout=30) for _ in range(len(identities) * len(given["values"]))]
    client.stop_stream()
    sums = {result.get_response().id: int(result.as_numpy("OUTPUT").ravel()[0]) for result in results}
    return [[sums[f"{place}_{count}"] for count in range(len(given["values"]))] for place in range(len(identities))]


@example
def streamed_sequences(client):
    """Several sequences of a model in one stream."""
    return [
        *in_one_stream(client, "simple-sequence", [3000, str(uuid.uuid4())]),
        *in_one_stream(client, "simple-dyna-sequence", [3001, 3002]),
    ]


def repeat(values, delay):
    data = (("IN", "INT32", values), ("DELAY", "UINT32", [delay] * len(values)), ("WAIT", "UINT32", [0]))
    tensors = [plain.InferInput(name, [len(content)], datatype) for name, datatype, content in data]
    for tensor, (_, datatype, content) in zip(tensors, data, strict=True):
        tensor.set_data_from_numpy(np.array(content, dtype=datatype.lower()))
    return tensors


@example
def decoupled(client):
    """Ten answers to one request; then one, and the mark of the end, which this client asks for."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error or result), headers=KEY)
    outputs = [plain.InferRequestedOutput("OUT")]
    client.async_stream_infer("repeat-int32", repeat(range(100, 110), 1000), outputs=outputs)
    ten = [int(answers.get(timeout=30).as_numpy("OUT")[0]) for _ in range(10)]
    client.async_stream_infer("repeat-int32", repeat([7], 0), enable_empty_final_response=True)
    two = [answers.get(timeout=30).get_response() for _ in range(2)]
    client.stop_stream()
    return [ten, [message.parameters["triton_final_response"].bool_param for message in two]]


@example
def health_and_metadata(client):
    model = client.get_model_metadata("simple", headers={**KEY, "test": "1"}, as_json=True)
    return {
        "live": client.is_server_live(headers={"test": "1"}),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("simple", headers=KEY),
        "server": client.get_server_metadata(headers=KEY).name,
        "model": model,
    }


@example
def keepalive(client):
    """Pings of an idle connection, more often than Triton itself takes; the same connection then serves again."""
    options = plain.KeepAliveOptions(
        keepalive_time_ms=100,
        keepalive_timeout_ms=20000,
        keepalive_permit_without_calls=True,
        http2_max_pings_without_data=0,
    )
    with plain.InferenceServerClient(given["target"], keepalive_options=options) as other:
        first = values(other.infer("simple", pair(COUNTING, ONES), headers=KEY))
        time.sleep(1)
        return [first, values(other.infer("simple", pair(COUNTING, ONES), headers=KEY))]


@example
def channel_arguments(client):
    arguments = [
        ("grpc.max_send_message_length", 1 << 20),
        ("grpc.max_receive_message_length", 1 << 20),
        ("grpc.keepalive_time_ms", 2**31 - 1),
        ("grpc.keepalive_timeout_ms", 20000),
        ("grpc.keepalive_permit_without_calls", False),
        ("grpc.http2.max_pings_without_data", 2),
        ("grpc.dns_enable_srv_queries", 1),
    ]
    with plain.InferenceServerClient(given["target"], channel_args=arguments) as other:
        return values(other.infer("simple", pair(COUNTING, ONES), headers=KEY))


@example
def classification(client):
    tensor = plain.InferInput("PIXELS", [2, 4], "FP32")
    tensor.set_data_from_numpy(np.array([[1, 3, 2, 0], [9, 0, 0, 8]], dtype=np.float32))
    output = plain.InferRequestedOutput("SCORES", class_count=2)
    result = client.infer("brightest", [tensor], outputs=[output], headers=KEY).as_numpy("SCORES")
    return [[text.decode().split(":")[1:] for text in row] for row in result]


def message(model, datatype, field, first, second):
    request = service_pb2.ModelInferRequest(model_name=model, id="my request id")
    for name, content in (("INPUT0", first), ("INPUT1", second)):
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[1, 16])
        getattr(tensor.contents, field).extend(content)
    for name in ("OUTPUT0", "OUTPUT1"):
        request.outputs.add(name=name)
    return request


def failure(send, request):
    try:
        return str(send(request))
    except grpc.RpcError as error:
        return [error.code().name, error.details()]


@example
def explicit_contents(client):
    """The generated stub and typed contents, without the client library; read as NVIDIA's examples read them."""
    counting, ones, outputs = list(range(16)), [1] * 16, {}
    with grpc.insecure_channel(given["target"]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def send(request):
            return stub.ModelInfer(request, metadata=list(KEY.items()))

        for model, datatype, dtype in (("simple", "INT32", np.int32), ("simple-int8", "INT8", np.int8)):
            answer = send(message(model, datatype, "int_contents", counting, ones))
            outputs[datatype] = [np.frombuffer(raw, dtype).tolist() for raw in answer.raw_output_contents]
            outputs["id"] = answer.id
        texts = [[str(value).encode() for value in content] for content in (counting, ones)]
        answer = send(message("simple-string", "BYTES", "bytes_contents", *texts))
        outputs["BYTES"] = [[int(text) for text in deserialize_bytes_tensor(raw)] for raw in answer.raw_output_contents]
        mixed = message("simple", "INT32", "int_contents", counting[8:], ones)
        mixed.raw_input_contents.append(np.array(counting[:8], dtype=np.int32).tobytes())
        outputs["mixed"] = failure(send, mixed)
        wrong = message("simple-int8", "INT8", "int_contents", counting, ones)
        wrong.model_version = "wrong_specification"
        outputs["version"] = failure(send, wrong)
    return outputs


@example
def asyncio_infer(client):
    async def run():
        async with aio.InferenceServerClient(given["target"]) as asynchronous:
            answers = await asyncio.gather(
                *(
                    asynchronous.infer("simple", pair(COUNTING, -ONES), outputs=both_outputs(), headers=KEY)
                    for _ in range(3)
                )
            )
            return [values(answer) for answer in answers]

    return asyncio.run(run())


@example
def asyncio_streamed_sequence(client):
    async def run():
        async def requests():
            for value, options in steps(4000):
                yield {"model_name": "simple-sequence", "inputs": one(value), **options}

        async with aio.InferenceServerClient(given["target"]) as asynchronous:
            sums = []
            answers = asynchronous.stream_infer(requests(), headers=KEY)
            async for result, error in answers:
                assert error is None, error
                sums.append(int(result.as_numpy("OUTPUT").ravel()[0]))
                if len(sums) == len(given["values"]):
                    answers.cancel()
                    return sums

    return asyncio.run(run())


@example
def cancelled(client):
    """A call that the client takes back before its answer."""
    answers = queue.Queue()
    tensor = plain.InferInput("INPUT0", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[b"slow"]], dtype=object))
    call = client.async_infer("simple-identity", [tensor], lambda result, error: answers.put(error), headers=KEY)
    call.cancel()
    return answers.get(timeout=30).status()


def refused(call, *arguments, **more):
    try:
        return {"answer": str(call(*arguments, headers=KEY, **more))[:200]}
    except InferenceServerException as error:
        return [error.status(), error.message()]


@example
def refusals(client):
    region, into_region = pair(COUNTING, ONES), both_outputs()
    region[0].set_shared_memory("region", 64)
    into_region[0].set_shared_memory("region", 64)
    return {
        "unknown model": refused(client.get_model_metadata, "wrong-model-name"),
        "unknown model ready": refused(client.is_model_ready, "wrong-model-name"),
        "unknown model infer": refused(client.infer, "wrong-model-name", pair(COUNTING, ONES)),
        "unknown version": refused(client.infer, "simple", pair(COUNTING, ONES), model_version="7"),
        "shape": refused(client.infer, "simple", pair(COUNTING, ONES)[:1]),
        "config": refused(client.get_model_config, "simple"),
        "statistics": refused(client.get_inference_statistics, "simple"),
        "all statistics": refused(client.get_inference_statistics),
        "index": refused(client.get_model_repository_index),
        "load": refused(client.load_model, "simple"),
        "unload": refused(client.unload_model, "simple"),
        "shared memory": refused(client.get_system_shared_memory_status),
        "register": refused(client.register_system_shared_memory, "region", "/region", 64),
        "unregister": refused(client.unregister_system_shared_memory),
        "cuda": refused(client.get_cuda_shared_memory_status),
        "register cuda": refused(client.register_cuda_shared_memory, "region", b"aGFuZGxl", 0, 64),
        "unregister cuda": refused(client.unregister_cuda_shared_memory),
        "trace": refused(client.get_trace_settings),
        "set trace": refused(client.update_trace_settings, settings={"trace_level": ["TIMESTAMPS"]}),
        "log": refused(client.get_log_settings),
        "set log": refused(client.update_log_settings, {"log_verbose_level": 1}),
        "input in shared memory": refused(client.infer, "simple", region),
        "output in shared memory": refused(client.infer, "simple", pair(COUNTING, ONES), outputs=into_region),
        "gzip": refused(client.infer, "simple", pair(COUNTING, ONES), compression_algorithm="gzip"),
        "deflate": refused(client.infer, "simple", pair(COUNTING, ONES), compression_algorithm="deflate"),
        "decoupled": refused(client.infer, "repeat-int32", repeat([1], 0)),
        "sequence without an id": refused(client.infer, "simple-sequence", one(1)),
    }


def run(function):
    try:
        with plain.InferenceServerClient(given["target"]) as client:
            return {"said": function(client)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


print(json.dumps({name: run(function) for name, function in EXAMPLES.items()}))
