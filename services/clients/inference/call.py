"""What one test inference is and gives: plain values, shared by the HTTP and the gRPC client. Sends nothing itself.

The clients (http.py, grpc.py) take a `Call` and return an `Answer`; an answer of 4xx or 5xx is an answer. Reading what
people typed into arrays is in values.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from services.clients.inference.caller import Caller
from services.specs import Tensor

HTTP = "http"
GRPC = "grpc"
V1 = "v1"
OPENAI = "openai"
SHOWN_BYTES = 1 << 20
"""Bytes of an answer's values that are shown at most, over all its outputs and responses."""
SHOWN_VALUES = 256
"""Values of a tensor that are shown at most; the full count is shown too."""
SHOWN_BODY = 8192
"""Characters of a body that are shown at most."""


@dataclass(frozen=True)
class Input:
    """One input tensor. BYTES: an array of `bytes` objects; BF16: of ml_dtypes.bfloat16."""

    name: str
    datatype: str
    values: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.values.shape)


@dataclass(frozen=True)
class SequenceStep:
    """The place of one request in a sequence. `id`: a whole number or a text."""

    id: int | str
    start: bool = True
    end: bool = True

    def parameters(self) -> dict[str, Any]:
        """As V2 names them."""
        return {"sequence_id": self.id, "sequence_start": self.start, "sequence_end": self.end}


@dataclass(frozen=True)
class Model:
    """What a running model says of itself; shapes are those of requests, -1 is any size."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    decoupled: bool = False
    """It may answer one request with any number of responses: only over gRPC streams."""
    sequences: bool = False
    """Each request must name its sequence."""
    optional: frozenset[str] = frozenset()
    """Inputs that a request may leave out."""

    @property
    def needed(self) -> tuple[Tensor, ...]:
        """The inputs of an example: those that are required, or all where none is."""
        return tuple(tensor for tensor in self.inputs if tensor.name not in self.optional) or self.inputs


@dataclass(frozen=True)
class Call:
    """`binary`: HTTP with the binary tensor extension. `stream`: gRPC by ModelStreamInfer.

    `outputs`: those of the model. Over HTTP they decide how each one comes back.
    """

    caller: Caller
    model: str
    inputs: tuple[Input, ...]
    binary: bool = False
    stream: bool = False
    outputs: tuple[Tensor, ...] = ()
    step: SequenceStep | None = None


@dataclass(frozen=True)
class Output:
    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any]
    """Flat, at most SHOWN_VALUES, and what SHOWN_BYTES has room for."""
    total: int
    """How many values there are."""

    @property
    def truncated(self) -> bool:
        return self.total > len(self.values)


@dataclass(frozen=True)
class Response:
    """One response; a stream has several. `at_ms`: when it came, counted from sending."""

    outputs: tuple[Output, ...]
    at_ms: float
    error: str = ""


@dataclass(frozen=True)
class Timing:
    """Milliseconds, as the console saw them. `wait_ms`: sending until the last byte of the answer."""

    build_ms: float = 0.0
    connect_ms: float = 0.0
    wait_ms: float = 0.0
    decode_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        return self.build_ms + self.connect_ms + self.wait_ms + self.decode_ms


@dataclass(frozen=True)
class Message:
    """A request or an answer as shown: the key is never in `headers`, `body` is cut to SHOWN_BODY."""

    first_line: str
    headers: Mapping[str, str]
    body: str
    body_bytes: int


@dataclass(frozen=True)
class Answer:
    """`status`: "200 OK" or "INVALID_ARGUMENT". `error`: what the server or the gateway said; "" when `ok`."""

    ok: bool
    status: str
    error: str
    responses: tuple[Response, ...]
    timing: Timing
    request: Message
    response: Message

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Those of the only, or the last, response."""
        return self.responses[-1].outputs if self.responses else ()

    def to_json(self) -> dict[str, Any]:
        document = asdict(self)
        document["outputs"] = [asdict(output) for output in self.outputs]
        document["timing"]["total_ms"] = self.timing.total_ms
        return document
