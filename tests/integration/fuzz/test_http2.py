"""HTTP/2 and gRPC that no client would send: frames that break the protocol, messages that are none."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import zlib
from contextlib import suppress

import grpc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from tests.integration.fuzz.arena import EXAMPLES, KEY, MIB, Arena, watched
from tests.integration.fuzz.wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INFER,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    call,
    connected,
    exchange,
    frame,
    frames,
    grpc_status,
    h2,
)

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
DOORS = (
    INFER,
    STREAM,
    PREDICT,
    "/inference.GRPCInferenceService/ModelInferStream",
    "/inference.GRPCInferenceService/ModelMetadata",
)
OPEN = frame(HEADERS, END_HEADERS, 1, call())


@pytest.mark.parametrize(
    "frames_",
    [
        frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)),
        frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)) * 2,
        frame(DATA, 0, 0, b"x"),
        frame(DATA, 0, 99, b"x"),
        frame(HEADERS, END_HEADERS, 2, call()),
        frame(HEADERS, END_HEADERS, 1, b"\xff" * 99),
        frame(SETTINGS, 0, 0, b"odd"),
        frame(SETTINGS, ACK, 0, b"123456"),
        frame(PING, 0, 0, b"1"),
        b"\xff" * 9,
        frame(HEADERS, 8 | END_HEADERS, 1, b"\xff" + call()),
        frame(CONTINUATION, END_HEADERS, 1, call()),
        frame(HEADERS, END_HEADERS, 1, b"\x3f\xff\xff\xff\xff\xff\xff\xff"),
        frame(5, END_HEADERS, 1, b"\0\0\0\2" + call()),
        frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31)),
        frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 2**32 - 1)),
    ],
)
def test_frames_that_break_the_protocol_end_the_connection_and_nothing_else(arena: Arena, frames_: bytes) -> None:
    answer = exchange(arena.port, h2(frames_), half_close=True)
    assert len(answer) < 65536
    assert arena.is_well()


@pytest.mark.parametrize(("count", "passes"), [(85, True), (101, False), (5000, False)])
def test_headers_too_many(arena: Arena, count: int, passes: bool) -> None:
    fill = tuple((f"x-fill-{i}", "a" * 10) for i in range(count))
    _limited(arena, call(INFER, *fill), passes)


@pytest.mark.parametrize(("count", "passes"), [(60, True), (700, False)])
def test_headers_too_large(arena: Arena, count: int, passes: bool) -> None:
    """Few names, so that only their size can be too much: the limit is 60 KiB."""
    _limited(arena, call(INFER, *[("cookie", "a" * 120)] * count), passes)


def _limited(arena: Arena, fields: bytes, passes: bool) -> None:
    """Over the limit the stream is refused, with 431 or a reset, or the connection is; the rest goes on."""
    message = service_pb2.ModelInferRequest(model_name="mnist").SerializeToString()
    body = frame(DATA, END_STREAM, 1, b"\0" + struct.pack(">I", len(message)) + message)
    first, *more = [fields[at : at + 16000] for at in range(0, len(fields), 16000)]
    top = frame(HEADERS, 0 if more else END_HEADERS, 1, first)
    for i, piece in enumerate(more):
        top += frame(CONTINUATION, END_HEADERS if i == len(more) - 1 else 0, 1, piece)
    before = arena.backend.count()
    with watched(arena) as steady, connected(arena.port) as sock, suppress(ConnectionResetError):
        sock.sendall(h2(top, body))
        got = b""
        while not any(_is_last(kind, flags) for kind, flags, *_ in frames(got)):
            part = sock.recv(65536)
            if not part:
                break
            got += part
    assert (grpc_status(got) == "0") == passes, got
    assert arena.backend.count() - before <= steady.sent + 6 + passes


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(path=st.sampled_from(DOORS), body=st.binary(max_size=200), end=st.booleans())
@example(path=INFER, body=b"\0\xff\xff\xff\xff", end=True)
@example(path=INFER, body=b"\x01\0\0\0\x02{}", end=True)
@example(path=STREAM, body=b"\xff\0\0\0\0" * 40, end=True)
@example(path=INFER, body=b"\0\0\0\0\x0b" + b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", end=True)
@example(path=PREDICT, body=b"\0\0\0\0\x0a" + b"\x0b" * 10, end=True)
def test_grpc_messages_that_are_none(arena: Arena, path: str, body: bytes, end: bool) -> None:
    sent = frame(HEADERS, END_HEADERS, 1, call(path)) + frame(DATA, END_STREAM if end else 0, 1, body)
    with connected(arena.port) as sock:
        sock.sendall(h2(sent, frame(PING, 0, 0, b"fuzzing!")))
        got = b""
        try:
            while not any(kind == PING and flags & ACK for kind, flags, *_ in frames(got)):
                part = sock.recv(65536)
                if not part:
                    break
                got += part
        except ConnectionResetError:
            pass
        assert not any(kind == GOAWAY for kind, *_ in frames(got)), got


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(path=st.sampled_from(DOORS), named=st.sampled_from(["mnist", "rows", "llama"]), noise=st.binary(max_size=100))
@example(
    path=INFER,
    named="rows",
    noise=service_pb2.ModelInferRequest(
        inputs=[{"name": "numbers", "datatype": "FP32", "shape": [-1, 2**62]}]
    ).SerializeToString(),
)
@example(path=INFER, named="rows", noise=b"\x2a\xff\xff\xff\xff\x07")
@example(path=INFER, named="llama", noise=b"\x3a\x02\xff\xff")
def test_named_messages_with_anything_after_the_name(arena: Arena, path: str, named: str, noise: bytes) -> None:
    """They get to the services and the bridge; whatever these say of them is no failure of their own."""
    logged = arena.bridge_log.stat().st_size
    name = bytes([10, len(named)]) + named.encode()
    message = (bytes([10, len(name)]) + name if path == PREDICT else name) + noise
    with grpc.insecure_channel(arena.gateway.address) as channel:
        answers = channel.stream_stream(path)(iter([message]), metadata=(("x-api-key", KEY),), timeout=20)
        code, details = grpc.StatusCode.OK, ""
        try:
            for _ in answers:
                pass
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNKNOWN and named == "mnist":
        assert "DecodeError" in details  # the null backend's own word for it
        return
    assert code not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.DEADLINE_EXCEEDED)
    if code is grpc.StatusCode.UNAVAILABLE:
        assert named == "rows"
    assert all(process.poll() is None for process in arena.processes().values())
    assert "Traceback" not in arena.bridge_log.read_text()[logged:]


@pytest.mark.parametrize("path", DOORS)
def test_a_compressed_bomb_over_grpc_is_not_opened(arena: Arena, path: str) -> None:
    for named in ((), (("mm-vmodel-id", "rows"),), (("mm-vmodel-id", "llama"),)):
        with watched(arena, gateway=64 * MIB), grpc.insecure_channel(arena.gateway.address) as channel:
            metadata = (("x-api-key", KEY), *named)
            sent = service_pb2.ModelInferRequest(model_name="rows", raw_input_contents=[bytes(15 * MIB)])
            answers = channel.stream_stream(path, request_serializer=bytes)(
                iter([sent.SerializeToString()]), metadata=metadata, timeout=20, compression=grpc.Compression.Gzip
            )
            with pytest.raises(grpc.RpcError):
                list(answers)


@pytest.mark.parametrize("path", DOORS)
def test_a_message_marked_as_compressed_goes_to_no_backend(arena: Arena, path: str) -> None:
    """Whatever `grpc-encoding` says: the mark is in the frame. Small ones, and a bomb."""
    plain = service_pb2.ModelInferRequest(model_name="rows").SerializeToString()
    bomb = gzip.compress(bytes(MIB)) * 1000
    sent = [(encoding, plain) for encoding in ("gzip", "deflate", "snappy", "identity", "")]
    before, logged = arena.counters(), arena.bridge_log.stat().st_size
    for encoding, packed in (*sent, ("gzip", gzip.compress(plain)), ("deflate", zlib.compress(plain)), ("gzip", bomb)):
        metadata = (("grpc-encoding", encoding),) if encoding else ()
        message = b"\1" + struct.pack(">I", len(packed)) + packed
        for named in ((), (("mm-vmodel-id", "rows"),)):
            answer = _answer_to(arena, frame(HEADERS, END_HEADERS, 1, call(path, *metadata, *named)), message)
            assert grpc_status(answer) not in (None, "0"), answer
    assert arena.triton_requests(before) == 0
    assert "Traceback" not in arena.bridge_log.read_text()[logged:]


def test_a_message_marked_as_compressed_later_in_a_stream_is_replaced(arena: Arena) -> None:
    """The answer to it is Triton's, about a model that there cannot be; and the stream goes on."""
    plain = service_pb2.ModelInferRequest(model_name="rows").SerializeToString()
    packed = gzip.compress(bytes(MIB)) * 1000
    first = b"\0" + struct.pack(">I", len(plain)) + plain
    bomb = b"\1" + struct.pack(">I", len(packed)) + packed
    with watched(arena, gateway=64 * MIB):
        top = frame(HEADERS, END_HEADERS, 1, call(STREAM, ("grpc-encoding", "gzip")))
        answer = _answer_to(arena, top, bomb + first, first)
    data = b"".join(payload for kind, _, _, payload in frames(answer) if kind == DATA)
    assert data.count(b"a compressed message, which this gateway does not take") == 1, answer
    assert grpc_status(answer) == "0", answer


def _answer_to(arena: Arena, top: bytes, message: bytes, first: bytes = b"") -> bytes:
    """`first` is a message whose answer is awaited before `message` is sent."""
    pieces = [message[at : at + 16384] for at in range(0, len(message), 16384)]
    data = [frame(DATA, END_STREAM if i == len(pieces) - 1 else 0, 1, piece) for i, piece in enumerate(pieces)]
    with connected(arena.port) as sock:
        sock.sendall(h2(window=MIB))
        got = sock.recv(65536)
        sock.sendall(frame(SETTINGS, ACK, 0) + top)  # the gateway's wide windows hold from here on
        if first:
            sock.sendall(frame(DATA, 0, 1, first))
            while not any(kind == DATA for kind, *_ in frames(got)):
                got += sock.recv(65536)
        # Beside the reading, as the answer may come before the end of the question.
        threading.Thread(target=_send, args=(sock, b"".join(data)), daemon=True).start()
        while not any(_is_last(kind, flags) for kind, flags, *_ in frames(got)):
            part = sock.recv(65536)
            if not part:
                break
            got += part
        return got


def _is_last(kind: int, flags: int) -> bool:
    return kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and bool(flags & END_STREAM))


def _send(sock: socket.socket, sent: bytes) -> None:
    with suppress(OSError):
        sock.sendall(sent)


def test_many_tiny_data_frames(arena: Arena) -> None:
    """A message of sixty thousand frames of one byte each: as many as fit the window before the gateway widens it."""
    message = service_pb2.ModelInferRequest(model_name="mnist", raw_input_contents=[bytes(60_000)]).SerializeToString()
    body = b"\0" + struct.pack(">I", len(message)) + message
    data = b"".join(frame(DATA, 0, 1, bytes([byte])) for byte in body[:-1]) + frame(DATA, END_STREAM, 1, body[-1:])
    with watched(arena), connected(arena.port, 30) as sock:
        threading.Thread(target=sock.sendall, args=(h2(OPEN, data),), daemon=True).start()
        got = b""
        while not any(kind == HEADERS and flags & END_STREAM for kind, flags, *_ in frames(got)):
            part = sock.recv(65536)
            assert part, frames(got)[-3:]
            got += part


def test_half_closed_connections_are_answered_or_ended(arena: Arena) -> None:
    with watched(arena):
        for sent in (b"", h2(), h2(OPEN), h2(OPEN)[:-5], h2()[:20]):
            exchange(arena.port, sent, half_close=True)
            with connected(arena.port) as sock:
                sock.sendall(sent)
                sock.shutdown(0)
