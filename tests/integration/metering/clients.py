"""Clients that keep books: of each request its id, how it ended, its bytes and its tokens, as the client saw them.

Each has a key of its own and one request at a time, over and over, whatever is killed meanwhile.
"""

from __future__ import annotations

import http.client
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from console.first_run import example
from tests.servers import vllm

PAUSE = 0.01
"""Seconds between an answer and the next request: steady, and the machine has other work."""
ID = "x-request-id"
NOWHERE = "no-such-service"
STREAM = vllm.chat_body(stream=True, stream_options={"include_usage": True})


@dataclass(frozen=True)
class Seen:
    """What an answered request was. Of one that did not succeed only service and outcome are looked at."""

    service: str
    outcome: str
    """A name of services/api/serializers/usage.py: UsedOut."""
    bytes_in: int = 0
    bytes_out: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Cut(Exception):
    """The request had no whole answer, though the gateway may have had it."""


class Nobody(Exception):
    """Nobody was there to take the request."""


@dataclass
class Client(ABC):
    port: int
    key: str
    answered: dict[str, Seen] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    cut: int = 0
    """Requests without a whole answer that the gateway may have had."""
    last: set[str] = field(default_factory=set)
    """Those that were answered right before somebody was gone."""

    @property
    def key_id(self) -> str:
        return self.key[4:16]

    def run(self, enough: threading.Event) -> None:
        newest = ""
        for number in count():
            if enough.wait(PAUSE):
                return
            try:
                request_id, seen = self.ask(number)
            except (Cut, Nobody) as failure:
                self.cut += isinstance(failure, Cut)
                self.last.add(newest)
                continue
            newest = request_id
            if request_id in self.answered:
                self.twice.append(request_id)
            self.answered[request_id] = seen

    @abstractmethod
    def ask(self, number: int) -> tuple[str, Seen]:
        """Id and outcome of one request. Raises Cut and Nobody."""


@dataclass
class Http(Client):
    """JSON over one HTTP/1.1 connection."""

    connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: Any, service: str) -> tuple[str, Seen]:
        sent = json.dumps(body).encode()
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
            self.connection.request("POST", path, sent, headers)
            answer = self.connection.getresponse()
            got = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.connection = None
            raise (Nobody if isinstance(error, ConnectionRefusedError) else Cut)(str(error)) from error
        prompt, completion = tokens(got) if answer.status == 200 else (0, 0)
        seen = Seen(service, http_outcome(answer.status), len(sent), len(got), prompt, completion)
        return answer.headers[ID], seen


class Rest(Http):
    def ask(self, number: int) -> tuple[str, Seen]:
        if number % 10 == 9:
            return self.post(f"/v2/models/{NOWHERE}/infer", example.body(), "")
        return self.post(f"/v2/models/{example.NAME}/infer", example.body(), example.NAME)


class V1(Http):
    """Over the bridge; every tenth request has no instances."""

    def ask(self, number: int) -> tuple[str, Seen]:
        body = {"instances": [] if number % 10 == 9 else [example.PIXELS]}
        return self.post(f"/v1/models/{example.NAME}:predict", body, example.NAME)


class Chat(Http):
    """Streams of tokens, and whole answers in between."""

    def ask(self, number: int) -> tuple[str, Seen]:
        body = vllm.chat_body() if number % 3 == 2 else STREAM
        return self.post("/v1/chat/completions", body, vllm.NAME)


@dataclass
class Grpc(Client):
    def __post_init__(self) -> None:
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 300),
        ]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options)
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        self.requests = [digits(name) for name in (example.NAME, NOWHERE)]

    def ask(self, number: int) -> tuple[str, Seen]:
        wrong = number % 10 == 9
        request, service = self.requests[wrong], "" if wrong else example.NAME
        try:
            answer, call = self.stub.ModelInfer.with_call(
                request, metadata=(("x-api-key", self.key),), wait_for_ready=True, timeout=30
            )
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            # Without a status from the gateway itself the library makes one up, and there are no trailers.
            request_id = dict(error.trailing_metadata() or ()).get(ID)
            if request_id is None:
                raise Cut(str(error.details())) from error
            return str(request_id), Seen(service, grpc_outcome(error.code()))
        # A message has five bytes before it.
        sizes = request.ByteSize() + 5, answer.ByteSize() + 5
        return str(dict(call.initial_metadata())[ID]), Seen(service, "succeeded", *sizes)


def digits(model: str) -> Any:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="predict", datatype="FP32", shape=[1, 64])
    tensor.contents.fp32_contents.extend(example.PIXELS)
    return service_pb2.ModelInferRequest(model_name=model, inputs=[tensor])


def http_outcome(status: int) -> str:
    if status == 429:
        return "limited"
    return "succeeded" if status < 400 else "client_errors" if status < 500 else "server_errors"


def grpc_outcome(code: grpc.StatusCode) -> str:
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return "limited"
    wrong = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED}
    return "client_errors" if code in wrong else "server_errors"


def tokens(got: bytes) -> tuple[int, int]:
    """Those of the prompt and of the completion: what the answer, or the last event of a stream, says."""
    texts = [got] if got.startswith(b"{") else [line[6:] for line in got.split(b"\n") if line.startswith(b"data: {")]
    if not got.startswith(b"{") and not got.endswith(b"data: [DONE]\n\n"):
        raise Cut("The stream has no end.")
    usage = json.loads(texts[-1]).get("usage") or {}
    return usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)


@contextmanager
def at_work(clients: list[Client]) -> Iterator[None]:
    """Each in a thread of its own, until the block ends and the last answer has come."""
    enough = threading.Event()
    threads = [threading.Thread(target=client.run, args=(enough,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
