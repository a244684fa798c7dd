"""Text over V2 gRPC to OpenAI's API: the prompt is the one input tensor, the answer is an output in its encoding.

For chat services the prompt is the user's message, for completion services the text to go on with, for embedding
services the text whose vector is wanted.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from tritonclient.grpc import service_pb2

from services.bridge import parameters
from services.bridge.errors import BridgeError, Kind, from_backend, invalid
from services.bridge.table import Service
from services.bridge.values import texts
from services.bridge.values.texts import Encoding
from services.schema import internal_headers

CHAT: Final = "chat"
EMBEDDING: Final = "embedding"
OUTPUT: Final = "text"
VECTOR: Final = "embedding"
Json = dict[str, Any]


@dataclass(frozen=True)
class Question:
    service: Service
    model: str
    """The service's name, or `<service>:<adapter>`."""
    prompt: str
    encoding: Encoding
    parameters: Json
    id: str

    @property
    def path(self) -> str:
        paths = {CHAT: "/v1/chat/completions", EMBEDDING: "/v1/embeddings"}
        return paths.get(self.service.task, "/v1/completions")


def read(request: Any, service: Service) -> Question:
    """From a ModelInferRequest. Raises BridgeError that says what is wrong with it."""
    model = model_of(request.model_name, service)
    if len(request.inputs) != 1:
        raise invalid(f"A request for text has one input, the prompt; this one has {len(request.inputs)}.")
    if len(request.raw_input_contents) > 1:
        raise invalid("raw_input_contents has more entries than there are inputs.")
    raw = request.raw_input_contents[0] if request.raw_input_contents else None
    if raw is not None and request.inputs[0].HasField("contents"):
        raise invalid("The prompt stands in contents and in raw_input_contents; send one of them.")
    prompt, encoding = texts.read(request.inputs[0], raw)
    allowed = parameters.EMBEDDING if service.task == EMBEDDING else parameters.GENERATION
    given = parameters.read(request.parameters, allowed)
    return Question(service, model, prompt, encoding, _bounded(given, service), request.id)


def model_of(name: str, service: Service) -> str:
    """What the backend calls it. Raises BridgeError(NOT_FOUND) for another service, or an adapter it has not."""
    owner, _, adapter = (name or service.name).partition(":")
    if owner != service.name:
        raise BridgeError(Kind.NOT_FOUND, f"There is no model {name} here: this is the service {service.name}.")
    if owner != (name or owner) and adapter not in service.adapters:
        adapters = f"it has {', '.join(service.adapters)}" if service.adapters else "it has none"
        raise BridgeError(Kind.NOT_FOUND, f"The service {service.name} has no adapter named {adapter}: {adapters}.")
    return name or owner


def _bounded(given: Json, service: Service) -> Json:
    """`max_tokens` is the most that is wanted, so more than the model's length is no mistake; vLLM refuses it."""
    longest = service.max_model_len
    if longest is not None and given.get("max_tokens", 0) > longest:
        return {**given, "max_tokens": longest}
    return given


def body(question: Question, *, stream: bool) -> bytes:
    """The body of the request to `question.path`."""
    document: Json = {"model": question.model, **question.parameters}
    task = question.service.task
    if task == CHAT:
        document["messages"] = [{"role": "user", "content": question.prompt}]
    elif task == EMBEDDING:
        document |= {"input": question.prompt, "encoding_format": "base64"}
    else:
        document["prompt"] = question.prompt
    if stream and task != EMBEDDING:
        document |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(document).encode()


def answer(question: Question, content: bytes) -> tuple[Any, Json]:
    """The ModelInferResponse and the usage of a whole (not streamed) answer. Raises BridgeError(BAD_ANSWER)."""
    try:
        data = json.loads(content)
        usage = data.get("usage") or {}
        if question.service.task == EMBEDDING:
            return _vector(question, data["data"][0]["embedding"]), usage
        choice = data["choices"][0]
        text = choice["message"]["content"] if question.service.task == CHAT else choice["text"]
        return response(question, text or "", choice.get("finish_reason")), usage
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _not_understood() from None


def piece(question: Question, event: bytes) -> tuple[Any, Json]:
    """What one event of a stream brings: a ModelInferResponse or None, and the usage when it is the event that has it.

    Raises BridgeError for an error that comes in the midst of a stream.
    """
    try:
        data = json.loads(event)
        if data.get("error"):
            raise from_backend(_status(data["error"]), event)
        usage = data.get("usage") or {}
        if not data["choices"]:
            return None, usage
        choice = data["choices"][0]
        text = (choice["delta"].get("content") if question.service.task == CHAT else choice["text"]) or ""
        reason = choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _not_understood() from None
    return (response(question, text, reason) if text or reason else None), usage


def _status(error: Any) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def response(question: Question, text: str, finish_reason: str | None) -> Any:
    message = service_pb2.ModelInferResponse(model_name=question.model, model_version="1", id=question.id)
    texts.write(text, question.encoding, message, OUTPUT)
    if finish_reason:
        message.parameters["finish_reason"].string_param = finish_reason
    return message


def _vector(question: Question, encoded: str) -> Any:
    values = base64.b64decode(encoded)
    message = service_pb2.ModelInferResponse(model_name=question.model, model_version="1", id=question.id)
    output = message.outputs.add(name=VECTOR, datatype="FP32", shape=[1, len(values) // 4])
    if question.encoding.field == "raw":
        message.raw_output_contents.append(values)
    else:
        output.contents.fp32_contents.extend(np.frombuffer(values, "<f4").tolist())
    return message


def usage_metadata(usage: Json) -> tuple[tuple[str, str], ...]:
    """What the gateway meters, as trailing metadata."""
    names = {"prompt_tokens": internal_headers.PROMPT_TOKENS, "completion_tokens": internal_headers.COMPLETION_TOKENS}
    return tuple((header, str(usage[name])) for name, header in names.items() if isinstance(usage.get(name), int))


def metadata(service: Service, name: str) -> Any:
    """The ModelMetadataResponse of a service that has no tensors of its own."""
    message = service_pb2.ModelMetadataResponse(name=model_of(name, service), versions=["1"], platform="vllm")
    message.inputs.add(name="prompt", datatype="BYTES", shape=[1])
    if service.task == EMBEDDING:
        message.outputs.add(name=VECTOR, datatype="FP32", shape=[1, -1])
    else:
        message.outputs.add(name=OUTPUT, datatype="BYTES", shape=[1])
    return message


def _not_understood() -> BridgeError:
    return BridgeError(Kind.BAD_ANSWER, "The service's answer does not follow OpenAI's API.")
