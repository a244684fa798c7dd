from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from services.bridge import sse
from services.bridge.errors import BridgeError, Kind, from_backend
from services.bridge.table import Service
from services.bridge.translators import v2grpc_openai
from services.bridge.translators.v2grpc_openai import Question
from tests.services.bridge import recorded

PROMPT = "What is life? é🙂"
POINTS = [ord(character) for character in PROMPT]


def service(task: str = "chat", longest: int | None = 512) -> Service:
    return Service("tiny", "1", "a", False, True, 1, "vllm", task, ("poems",), longest, 0)


def request(*, raw: bytes | None = None, datatype: str = "", shape: tuple[int, ...] = (), **contents: Any) -> Any:
    message = service_pb2.ModelInferRequest(model_name="tiny", model_version="0", id="7")
    tensor = message.inputs.add(name="prompt", datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    if raw is not None:
        message.raw_input_contents.append(raw)
    return message


def question_of(task: str = "chat", **parameters: tuple[str, Any]) -> Question:
    infer_request = request(int_contents=POINTS)
    for name, (kind, value) in parameters.items():
        setattr(infer_request.parameters[name], kind, value)
    return v2grpc_openai.read(infer_request, service(task))


def refusal(infer_request: Any, of: Service | None = None) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        v2grpc_openai.read(infer_request, of or service())
    return caught.value


def body(question: Question, *, stream: bool = False) -> Any:
    return json.loads(v2grpc_openai.body(question, stream=stream))


ENCODINGS = [
    {"int_contents": POINTS},
    {"int_contents": POINTS, "datatype": "INT32", "shape": (1, len(POINTS))},
    {"int64_contents": POINTS},
    {"uint_contents": POINTS},
    {"uint_contents": list(PROMPT.encode()), "datatype": "UINT8"},
    {"bytes_contents": [PROMPT.encode()]},
    {"bytes_contents": [PROMPT.encode()], "datatype": "BYTES", "shape": (1, 1)},
    {"raw": struct.pack("<I", len(PROMPT.encode())) + PROMPT.encode(), "datatype": "BYTES", "shape": (1,)},
    {"raw": PROMPT.encode()},
    {"raw": PROMPT.encode(), "datatype": "UINT8"},
    {"raw": np.array(POINTS, "<i4").tobytes(), "datatype": "INT32"},
    {"raw": np.array(POINTS, "<i8").tobytes(), "datatype": "INT64"},
]


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda each: "-".join(map(str, each)))
def test_the_prompt_is_read_in_every_encoding_and_the_answer_has_the_same(encoding: dict[str, Any]) -> None:
    sent = request(**encoding)
    question = v2grpc_openai.read(sent, service())
    assert question.prompt == PROMPT
    answer = v2grpc_openai.response(question, PROMPT, None)
    (field,) = [name for name in encoding if name == "raw" or name.endswith("_contents")]
    if field == "raw":
        assert list(answer.raw_output_contents) == [encoding["raw"]]
        assert not answer.outputs[0].HasField("contents")
    else:
        assert list(getattr(answer.outputs[0].contents, field)) == encoding[field]
    if "shape" in encoding:
        assert tuple(answer.outputs[0].shape) == encoding["shape"]
    if "datatype" in encoding:
        assert answer.outputs[0].datatype == encoding["datatype"]


@pytest.mark.parametrize(
    ("infer_request", "sentence"),
    [
        (request(), "prompt must have its values in one field"),
        (request(int_contents=[1], bytes_contents=[b"a"]), "prompt must have its values in one field"),
        (request(fp32_contents=[1.0]), "prompt cannot be text in fp32_contents"),
        (request(int_contents=[0x110000]), "no Unicode code point"),
        (request(int_contents=[-1]), "no Unicode code point"),
        (request(int_contents=[65], datatype="BYTES"), "prompt cannot be BYTES in int_contents: use INT32"),
        (request(int_contents=[0xD800]), "no Unicode code point"),
        (request(bytes_contents=[b"\xff"]), "prompt is not UTF-8"),
        (request(bytes_contents=[b"a", b"b"]), "prompt has 2 texts; send one in a request."),
        (request(int_contents=[65, 66], shape=(3,)), "prompt has shape [3] and 2 values."),
        (request(raw=b"abc", datatype="INT32"), "prompt cannot be text in INT32"),
        (request(raw=b"abc", datatype="FP32"), "prompt cannot be text in FP32"),
        (request(raw=b"abc", datatype="BYTES"), "its length in four bytes"),
        (request(raw=b"\xff\xff", datatype="UINT8"), "prompt is not UTF-8"),
        (request(raw=b"abc", int_contents=[65]), "in contents and in raw_input_contents"),
        (service_pb2.ModelInferRequest(model_name="tiny"), "has one input, the prompt; this one has 0"),
    ],
)
def test_what_is_no_prompt_is_refused(infer_request: Any, sentence: str) -> None:
    error = refusal(infer_request)
    assert error.kind is Kind.INVALID
    assert sentence in error.message


def test_parameters_are_read_whatever_type_they_come_as() -> None:
    question = question_of(
        max_tokens=("string_param", "50"),
        min_tokens=("double_param", 5.0),
        seed=("int64_param", 7),
        top_k=("uint64_param", 3),
        temperature=("string_param", "0.5"),
        top_p=("double_param", 0.9),
        min_p=("int64_param", 0),
        ignore_eos=("string_param", "True"),
        stop=("string_param", '["a", "b"]'),
    )
    assert question.parameters == {
        "max_tokens": 50,
        "min_tokens": 5,
        "seed": 7,
        "top_k": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "min_p": 0.0,
        "ignore_eos": True,
        "stop": ["a", "b"],
    }
    assert question_of(stop=("string_param", "###")).parameters == {"stop": "###"}
    assert question_of(ignore_eos=("bool_param", False)).parameters == {"ignore_eos": False}


@pytest.mark.parametrize(
    ("name", "kind", "value", "sentence"),
    [
        ("max_tokens", "string_param", "many", "The parameter max_tokens must be a whole number."),
        *(
            ("max_tokens", "string_param", text, "The parameter max_tokens must be a whole number.")
            for text in ("1_0", " 5", "5 ", "+5", "05", "5.0", "5e0", "0x5", "\u0665", "\uff15", "", "-", "1" * 30)
        ),
        *(
            ("temperature", "string_param", text, "The parameter temperature must be a number.")
            for text in ("1_0.5", " 0.5", "0.5\n", "+0.5", ".5", "5.", "00.5", "nan", "inf", "1e999", "0x1p4", "\u0665")
        ),
        ("max_tokens", "double_param", 1.5, "The parameter max_tokens must be a whole number."),
        ("max_tokens", "double_param", float("inf"), "The parameter max_tokens must be a whole number."),
        ("max_tokens", "bool_param", True, "The parameter max_tokens must be a whole number."),
        ("temperature", "string_param", "nan", "The parameter temperature must be a number."),
        ("ignore_eos", "string_param", "maybe", "The parameter ignore_eos must be true or false."),
        ("stop", "string_param", "[1]", "The parameter stop must be a text, or a JSON list of texts."),
        ("prompt_embeds", "string_param", "x", "Unknown parameter prompt_embeds. Allowed: "),
        ("chat_template", "string_param", "x", "Unknown parameter chat_template."),
        ("n", "int64_param", 1000, "Unknown parameter n."),
        ("cache_salt", "string_param", "x", "Unknown parameter cache_salt."),
    ],
)
def test_other_parameters_and_values_are_refused_by_name(name: str, kind: str, value: Any, sentence: str) -> None:
    with pytest.raises(BridgeError) as caught:
        question_of(**{name: (kind, value)})
    assert caught.value.kind is Kind.INVALID
    assert caught.value.message.startswith(sentence)


def test_more_tokens_than_the_model_has_are_as_many_as_it_has() -> None:
    infer_request = request(int_contents=POINTS)
    infer_request.parameters["max_tokens"].string_param = "500"
    assert v2grpc_openai.read(infer_request, service(longest=256)).parameters == {"max_tokens": 256}
    assert v2grpc_openai.read(infer_request, service(longest=None)).parameters == {"max_tokens": 500}


def test_each_task_has_its_own_request() -> None:
    chat, completion, embedding = question_of(), question_of("completion"), question_of("embedding")
    assert (chat.path, completion.path, embedding.path) == (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
    )
    assert body(chat) == {"model": "tiny", "messages": [{"role": "user", "content": PROMPT}]}
    assert body(completion, stream=True) == {
        "model": "tiny",
        "prompt": PROMPT,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert body(embedding, stream=True) == {"model": "tiny", "input": PROMPT, "encoding_format": "base64"}


def test_an_adapter_is_named_with_its_service_and_others_are_not_found() -> None:
    infer_request = request(int_contents=POINTS)
    infer_request.model_name = "tiny:poems"
    assert body(v2grpc_openai.read(infer_request, service()))["model"] == "tiny:poems"
    infer_request.model_name = ""  # the gateway knew it from the host
    assert body(v2grpc_openai.read(infer_request, service()))["model"] == "tiny"
    for name in ("other", "tiny:prose"):
        infer_request.model_name = name
        assert refusal(infer_request).kind is Kind.NOT_FOUND


@pytest.mark.parametrize("task", ["chat", "completion"])
def test_a_recorded_answer_becomes_a_response_with_its_usage(task: str) -> None:
    wire = recorded.load(f"vllm-{task}")
    response, usage = v2grpc_openai.answer(question_of(task), wire.body)
    choice = json.loads(wire.body)["choices"][0]
    text = choice["message"]["content"] if task == "chat" else choice["text"]
    assert "".join(map(chr, response.outputs[0].contents.int_contents)) == text
    assert (response.model_name, response.id, response.parameters["finish_reason"].string_param) == (
        "tiny",
        "7",
        "length",
    )
    assert v2grpc_openai.usage_metadata(usage)[1] == ("x-completion-tokens", "3")


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("task", ["chat", "completion"])
def test_a_recorded_stream_becomes_responses_however_it_is_cut(task: str, size: int) -> None:
    content = recorded.load(f"vllm-{task}-stream").body
    events, question = sse.Events(), question_of(task)
    payloads = [event for at in range(0, len(content), size) for event in events.feed(content[at : at + size])]
    assert payloads[-1] == sse.DONE
    pieces = [v2grpc_openai.piece(question, event) for event in payloads[:-1]]
    responses = [response for response, _ in pieces if response is not None]
    text = "".join(chr(point) for response in responses for point in response.outputs[0].contents.int_contents)
    choices = [json.loads(event)["choices"] for event in payloads[:-1]]
    parts = [choice[0]["delta"].get("content") if task == "chat" else choice[0]["text"] for choice in choices if choice]
    assert text == "".join(parts)
    assert responses[-1].parameters["finish_reason"].string_param == "length"
    assert [usage["completion_tokens"] for _, usage in pieces if usage] == [3]


def test_a_recorded_embedding_becomes_a_vector() -> None:
    response, usage = v2grpc_openai.answer(question_of("embedding"), recorded.load("vllm-embedding").body)
    assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == ("FP32", [1, 256])
    assert np.isclose(np.linalg.norm(response.outputs[0].contents.fp32_contents), 1)
    assert v2grpc_openai.usage_metadata(usage)[0] == ("x-prompt-tokens", "2")
    raw = v2grpc_openai.read(request(raw=b"hi", datatype="UINT8"), service("embedding"))
    again, _ = v2grpc_openai.answer(raw, recorded.load("vllm-embedding").body)
    vector = np.frombuffer(again.raw_output_contents[0], "<f4")
    assert vector.tolist() == list(response.outputs[0].contents.fp32_contents)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("vllm-too-long", Kind.INVALID, "max_tokens=100000 cannot be greater than max_model_len=512"),
        ("vllm-unknown-model", Kind.NOT_FOUND, "The model `nope` does not exist."),
        ("triton-too-many-rows", Kind.INVALID, "batch-size must be <= 4"),
        ("triton-unknown-output", Kind.INVALID, "unexpected inference output 'nope'"),
    ],
)
def test_a_recorded_refusal_keeps_the_backends_words(name: str, kind: Kind, words: str) -> None:
    wire = recorded.load(name)
    error = from_backend(wire.status, wire.body)
    assert error.kind is kind
    assert words in error.message


def test_an_error_in_the_midst_of_a_stream_ends_it() -> None:
    event = b'{"error": {"message": "The engine died.", "type": "InternalServerError", "param": null, "code": 500}}'
    with pytest.raises(BridgeError) as caught:
        v2grpc_openai.piece(question_of(), event)
    assert (caught.value.kind, caught.value.message) == (Kind.INTERNAL, "The engine died.")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b'{"choices": [null]}'])
def test_an_answer_that_is_none_is_the_backends_fault(content: bytes) -> None:
    with pytest.raises(BridgeError) as caught:
        v2grpc_openai.answer(question_of(), content)
    assert caught.value.kind is Kind.BAD_ANSWER


def test_metadata_tells_the_prompt_and_the_text() -> None:
    response = v2grpc_openai.metadata(service(), "tiny")
    assert (response.name, response.platform) == ("tiny", "vllm")
    assert [(tensor.name, tensor.datatype) for tensor in (*response.inputs, *response.outputs)] == [
        ("prompt", "BYTES"),
        ("text", "BYTES"),
    ]
