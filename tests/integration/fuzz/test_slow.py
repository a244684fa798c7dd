"""A client that sends a byte now and then: it is never idle, and yet it is given up. Streams are not.

A gateway of its own, whose times are seconds: two for a body and two for its answer.
"""

from __future__ import annotations

import json
import queue
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import grpc
import pytest
from tritonclient.grpc import service_pb2

from services.gateway.snapshot import MIB, Limits, Snapshot
from tests.integration.fuzz.arena import KEY
from tests.integration.fuzz.wire import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INFER,
    PING,
    RST_STREAM,
    call,
    connected,
    first_answer,
    frame,
    frames,
    h2,
    head,
    rest,
    status_of,
)
from tests.servers.gateway.rig import Backend, Gateway, until
from tests.services.gateway import snapshots

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
LIMITED = "isk_fuzzlimited0_0000000000000000000000000000000000000000000"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
CHAT, JSON = "/v1/chat/completions", "Content-Type: application/json"
LIMITS = Limits(max_payload_bytes=MIB, request_timeout_seconds=2, stream_idle_seconds=4)
BOUND = LIMITS.body_seconds + LIMITS.request_timeout_seconds
PATIENCE = 8
LATE = "The request's body did not come in within the time that this gateway gives it."
LINGERS = 5
"""Seconds that a refused connection stays, for a client that is still sending (delayed_close_timeout)."""
MARGIN = 20.0
"""What a busy machine may take beyond any bound here; without the bound it would be minutes, or for ever."""


@dataclass(frozen=True)
class Hasty:
    gateway: Gateway
    backend: Backend


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hasty]:
    with ExitStack() as stack:
        backend = Backend.start("null")
        stack.callback(backend.kill)
        services = (
            snapshots.ready("mnist", backend.endpoint),
            replace(snapshots.ready("patient", backend.endpoint), timeout_seconds=PATIENCE),
            snapshots.text("llama", backend.endpoint),
        )
        limited = replace(snapshots.key(LIMITED, "*"), max_concurrent=10)
        snapshot = Snapshot(services=services, keys=(snapshots.key(KEY, "*"), limited), limits=LIMITS)
        gateway = Gateway.prepared(tmp_path_factory.mktemp("slow") / "g", snapshot)
        stack.callback(gateway.kill)
        gateway.run()
        for service in ("mnist", "patient"):
            until(lambda path=f"/v2/models/{service}": gateway.call("GET", path, X_API_Key=KEY).status == 200)  # type: ignore[misc]
        yield Hasty(gateway, backend)


BODIES = (
    ("/v2/models/mnist/infer", JSON, "Content-Length: 1000"),
    ("/v2/models/mnist/infer", "Content-Length: 1000"),
    ("/v2/models/mnist/infer", JSON, "Transfer-Encoding: chunked"),
    (CHAT, JSON, "Content-Length: 1000"),
    ("/services/llama" + CHAT, JSON, "Content-Length: 1000"),
    (CHAT, JSON, "Content-Length: 1000", "mm-vmodel-id: llama"),
)
NAMED = ((), (("mm-vmodel-id", "mnist"),))
KEYS = (KEY, LIMITED)


def together(*calls: Callable[[], None]) -> None:
    """All at once, as each of them mostly waits."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for each in [pool.submit(call) for call in calls]:
            each.result()


def test_what_never_comes_to_its_end_is_refused_and_reaches_no_backend(hasty: Hasty) -> None:
    before = hasty.backend.count()
    together(
        *(partial(_body_never_ends, hasty, *lines) for lines in BODIES),
        *(partial(_message_never_ends, hasty, named) for named in NAMED),
        partial(_message_never_comes, hasty),
    )
    assert hasty.backend.count() == before


def test_every_other_wait_has_the_bound_that_is_its_own(hasty: Hasty) -> None:
    """Streams and tokens outlive those on requests, also with a key that has a limit of concurrent requests: then they
    go by way of the inner listener.
    """
    together(
        *(partial(_talks_on, hasty, key, named) for key in KEYS for named in NAMED),
        *(partial(_tokens, hasty, key, path) for key in KEYS for path in (CHAT, "/services/llama" + CHAT)),
        *(partial(each, hasty, key) for each in (_patient, _impatient) for key in KEYS),
        partial(_answer_that_nobody_takes, hasty),
        partial(_two_hundred_at_once, hasty),
    )


def _body_never_ends(hasty: Hasty, target: str, *lines: str) -> None:
    byte = b"1\r\n \r\n" if any("chunked" in line for line in lines) else b" "
    with connected(hasty.gateway.port) as sock:
        sock.sendall(head("POST", target, *lines))
        begun, answer = time.monotonic(), b""
        sock.settimeout(0.2)
        while not answer:
            assert time.monotonic() - begun < BOUND + MARGIN
            sock.sendall(byte)
            try:
                answer = sock.recv(65536)
            except TimeoutError:
                continue
        assert time.monotonic() - begun >= BOUND - 0.5
        sock.settimeout(LINGERS + MARGIN)
        answer += rest(sock)  # to the end of the connection, though this client goes on holding it
        assert time.monotonic() - begun <= BOUND + LINGERS + MARGIN
    assert status_of(answer) == 408
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert (error["message"] if isinstance(error, dict) else error) == LATE


def _message_never_ends(hasty: Hasty, named: tuple[tuple[str, str], ...]) -> None:
    with connected(hasty.gateway.port) as sock:
        sock.sendall(h2(frame(HEADERS, END_HEADERS, 1, call(INFER, *named)), frame(DATA, 0, 1, b"\0\0\0\1\0")))
        begun, got = time.monotonic(), b""
        sock.settimeout(0.2)
        while not any(kind == HEADERS for kind, *_ in frames(got)):
            assert time.monotonic() - begun < BOUND + MARGIN
            sock.sendall(frame(DATA, 0, 1, b"\n"))
            try:
                got += sock.recv(65536)
            except TimeoutError:
                continue
        assert time.monotonic() - begun >= BOUND - 0.5
        sock.sendall(frame(PING, 0, 0, b"still on"))  # one stream's end is not that of the connection
        sock.settimeout(MARGIN)
        while not any(kind == PING and flags & ACK for kind, flags, *_ in frames(got)):
            part = sock.recv(65536)
            assert part
            got += part
    assert any(flags & END_STREAM for kind, flags, *_ in frames(got) if kind == HEADERS)


def _message_never_comes(hasty: Hasty) -> None:
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()  # of which nothing ever comes
    with grpc.insecure_channel(hasty.gateway.address) as channel:
        metadata = (("x-api-key", KEY),)
        answer = channel.stream_unary(INFER).future(iter(messages.get, None), metadata=metadata, timeout=BOUND + MARGIN)
        with pytest.raises(grpc.RpcError) as refused:
            answer.result()
        messages.put(None)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert refused.value.details() == LATE


def _answer_that_nobody_takes(hasty: Hasty) -> None:
    """Its window stays shut, so all but its headers wait in the gateway."""
    message = service_pb2.ModelInferRequest(model_name="mnist").SerializeToString()
    body = b"\0" + struct.pack(">I", len(message)) + message
    frames_sent = frame(HEADERS, END_HEADERS, 1, call(INFER)) + frame(DATA, END_STREAM, 1, body)
    with connected(hasty.gateway.port) as sock:
        begun, got = time.monotonic(), b""
        sock.sendall(h2(frames_sent, window=0))
        sock.settimeout(LIMITS.stream_idle_seconds + MARGIN)
        while not any(kind == RST_STREAM for kind, *_ in frames(got)):
            part = sock.recv(65536)
            assert part, frames(got)
            got += part
        assert time.monotonic() - begun < LIMITS.stream_idle_seconds + MARGIN
    assert any(kind == HEADERS for kind, *_ in frames(got))


def _two_hundred_at_once(hasty: Hasty) -> None:
    """Slow bodies. The others are served meanwhile."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(hasty.gateway.port)) for _ in range(200)]
        for sock in slow:
            sock.sendall(head("POST", "/v2/models/mnist/infer", JSON, "Content-Length: 1000"))
        begun = time.monotonic()
        while time.monotonic() - begun < BOUND - 0.5:
            for sock in slow:
                sock.sendall(b" ")
            assert hasty.gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=KEY).status == 200
            time.sleep(0.2)
        assert {status_of(first_answer(sock)) for sock in slow} == {408}
        assert time.monotonic() - begun < BOUND + MARGIN


def _talks_on(hasty: Hasty, key: str, named: tuple[tuple[str, str], ...]) -> None:
    questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    request = service_pb2.ModelInferRequest(model_name="mnist").SerializeToString()
    with grpc.insecure_channel(hasty.gateway.address) as channel:
        answers = channel.stream_stream(STREAM)(iter(questions.get, None), metadata=(("x-api-key", key), *named))
        begun, count = time.monotonic(), 0
        while time.monotonic() - begun < 2 * BOUND:
            questions.put(request)
            count += sum(1 for _ in zip(range(4), answers, strict=False))
            time.sleep(0.4)
        questions.put(None)
        assert list(answers) == [] and answers.code() is grpc.StatusCode.OK
    assert count >= 4 * BOUND


def _tokens(hasty: Hasty, key: str, path: str) -> None:
    body = {"model": "llama", "messages": [], "stream": True, "max_tokens": 12, "user": "wait=550"}
    begun = time.monotonic()
    answer = hasty.gateway.call("POST", path, json.dumps(body), X_API_Key=key, Content_Type="application/json")
    assert time.monotonic() - begun > 1.5 * BOUND
    assert answer.status == 200 and answer.body.endswith(b"data: [DONE]\n\n") and answer.body.count(b"data: ") == 14


def _patient(hasty: Hasty, key: str) -> None:
    """A service that may take longer has its own time."""
    path, begun = "/v2/models/patient/infer", time.monotonic()
    assert hasty.gateway.call("POST", path, b"{}", X_API_Key=key, X_Sleep_Ms="4500").status == 200
    assert time.monotonic() - begun > BOUND


def _impatient(hasty: Hasty, key: str) -> None:
    """And no more than that."""
    path, begun = "/v2/models/patient/infer", time.monotonic()
    answer = hasty.gateway.call("POST", path, b"{}", X_API_Key=key, X_Sleep_Ms="15000")
    assert answer.status == 504 and "did not answer in time" in answer.error
    assert PATIENCE - 0.2 <= time.monotonic() - begun <= PATIENCE + MARGIN
