"""Every spelling of a ModelInferRequest is read by the gateway as Triton reads it, or is refused; none ends Triton."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.differences import messages
from tests.integration.differences.both import READ_SHARED_MEMORY, Both
from tests.integration.fuzz.arena import EXAMPLES, KEY

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("arena")]
INFER, STREAM = (f"/inference.GRPCInferenceService/{name}" for name in ("ModelInfer", "ModelStreamInfer"))
OWN_WORDS = (
    "shape",
    "message of the V2 protocol",
    "No service is named",
    "names no model",
    "shared memory",
)
Said = tuple[str, str]
"""The status and its message, or OK and the answer."""
Asking = Callable[[str, bytes], Said]


def asking(target: str, **metadata: str) -> Iterator[Asking]:
    named = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
    with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:

        def ask(method: str, message: bytes) -> Said:
            try:
                if method == INFER:
                    return "OK", repr(channel.unary_unary(method)(message, metadata=named, timeout=20))
                return "OK", repr(list(channel.stream_stream(method)(iter([message]), metadata=named, timeout=20)))
            except grpc.RpcError as error:
                return error.code().name, error.details()

        yield ask


@pytest.fixture(scope="module")
def through(both: Both) -> Iterator[Asking]:
    yield from asking(both.arena.gateway.address, x_api_key=KEY)


@pytest.fixture(scope="module")
def direct(both: Both) -> Iterator[Asking]:
    yield from asking(f"127.0.0.1:{both.arena.triton_grpc}")


def agree(both: Both, through: Asking, direct: Asking, message: bytes) -> bool:
    """As Both.agree. What a gRPC server cannot read it answers by itself, whichever server that is."""
    reply, direct_reply = through(INFER, message), direct(INFER, message)
    if reply == direct_reply or (reply[0], direct_reply[0]) == ("OK", "OK"):  # typed answers are written anew
        both.passed = (both.passed or 0) + 1
        assert READ_SHARED_MEMORY not in direct_reply[1]
        return True
    assert reply[0] in ("INVALID_ARGUMENT", "NOT_FOUND"), (reply, direct_reply)
    assert any(words in reply[1] for words in OWN_WORDS), (reply, direct_reply)
    return False


@pytest.mark.parametrize("case", messages.CASES)
def test_a_message(both: Both, through: Asking, direct: Asking, case: str) -> None:
    agree(both, through, direct, messages.CASES[case])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("shape", messages.SHAPES, ids=range(len(messages.SHAPES)))
def test_a_shape(both: Both, through: Asking, direct: Asking, shape: tuple[int, ...], packed: bool) -> None:
    """Triton cuts a batch to 32 bits, and shows a model more elements than there are."""
    message = messages.ROWS + messages.numbers(*shape, packed=packed) + messages.TEXT
    elements = 1
    for number in shape:
        elements *= number
    possible = len(shape) <= 64 and all(0 <= number < 2**31 for number in shape) and elements <= len(message) + 5
    assert agree(both, through, direct, message) is possible


@pytest.mark.parametrize(
    "case", ["a shape of 2^32 + 1 rows", "a shape of 2^40 texts", "no message", "shared memory in an input"]
)
def test_a_later_message_of_a_stream_is_looked_at_too(both: Both, through: Asking, case: str) -> None:
    bad = {
        "a shape of 2^32 + 1 rows": messages.ROWS + messages.numbers(2**32 + 1, 2) + messages.TEXT,
        "a shape of 2^40 texts": messages.ROWS
        + messages.numbers(1, 2)
        + messages.field(messages.INPUTS, messages.tensor("text", "BYTES", 2**40, 1, contents=messages.LETTER)),
        "no message": messages.GOOD + messages.groups(3),
        "shared memory in an input": messages.CASES["shared memory in an input"],
    }[case]
    reply = through(STREAM, bad)
    both.passed = (both.passed or 0) + 1  # the stream is under way before a message is looked at
    assert reply[0] == "OK"
    assert "has a shape of more elements" in reply[1] or "which this gateway does not take" in reply[1], reply


PARTS: dict[str, Any] = {
    "name": st.sampled_from([b"rows", b"other", b"", b"rows\0", b"\xff"]).map(lambda name: messages.field(1, name)),
    "numbers": st.lists(st.integers(-1, 3), max_size=3).map(lambda shape: messages.numbers(*shape)),
    "text": st.just(messages.TEXT),
    "parameter": st.sampled_from([b"x", b"shared_memory_region", b"priority"]).map(messages.parameter),
    "raw": st.binary(max_size=9).map(lambda raw: messages.field(messages.RAW, raw)),
    "unknown": st.binary(max_size=9).map(lambda content: messages.field(50, content)),
    "bytes": st.binary(max_size=4),
}


@settings(max_examples=2 * EXAMPLES, deadline=None, derandomize=True)
@given(parts=st.lists(st.one_of(*PARTS.values()), max_size=6))
def test_any_parts_in_any_order(both: Both, through: Asking, direct: Asking, parts: list[bytes]) -> None:
    agree(both, through, direct, b"".join(parts))
