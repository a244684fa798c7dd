"""What one text generation, or one embedding, is asked for and gives: plain values, shared by the OpenAI and the gRPC
client. Sends nothing itself.

The clients (openai.py, grpc.py) take a `TextCall` and give `Piece`s as the text is generated, then one
`Generation`. A refusal is a `Generation` too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from services.clients.inference.call import SHOWN_BYTES, Message, Output, Timing
from services.clients.inference.caller import Caller

CHAT: Final = "chat"
COMPLETION: Final = "completion"
EMBEDDING: Final = "embedding"


@dataclass(frozen=True)
class Ask:
    """`messages` for a chat, `prompt` for a completion, and for an embedding the text in `prompt`.

    None leaves the choice to the server. `model` is the service's name, or `<service>:<adapter>`.
    """

    task: str
    model: str
    messages: tuple[Mapping[str, Any], ...] = ()
    prompt: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    stream: bool = False


@dataclass(frozen=True)
class TextCall:
    caller: Caller
    ask: Ask


@dataclass(frozen=True)
class Piece:
    """Some text of an answer; `at_ms` when it came, counted from sending."""

    text: str
    at_ms: float


@dataclass(frozen=True)
class Usage:
    """In tokens, as the server counts them; None when it does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True)
class Generation:
    """`status`: "200 OK" or "INVALID_ARGUMENT". `text` holds at most SHOWN_BYTES; `characters` counts them all."""

    ok: bool
    status: str
    error: str
    text: str
    characters: int
    finish_reason: str
    usage: Usage
    timing: Timing
    request: Message
    response: Message
    pieces: int = 0
    """In how many parts the text came."""
    first_ms: float | None = None
    """Time to the first part of a streamed answer, in ms from sending."""
    last_ms: float | None = None
    outputs: tuple[Output, ...] = ()
    """For an embedding: the vector."""

    @property
    def tokens_per_second(self) -> float | None:
        """A stream is timed from its first part, without reading the prompt; other answers over the whole wait."""
        tokens = self.usage.completion_tokens
        if not tokens:
            return None
        if self.first_ms is not None and self.last_ms is not None and self.pieces > 1 and self.last_ms > self.first_ms:
            return 1000 * (tokens - 1) / (self.last_ms - self.first_ms)
        return 1000 * tokens / self.timing.wait_ms if self.timing.wait_ms else None

    @property
    def truncated(self) -> bool:
        return self.characters > len(self.text)

    def to_json(self) -> dict[str, Any]:
        """The keys of an Answer, and what only text has."""
        document = {name: value for name, value in asdict(self).items() if name not in _OWN}
        document["usage"]["total_tokens"] = total(self.usage)
        document["timing"] |= {
            "total_ms": self.timing.total_ms,
            "first_token_ms": self.first_ms,
            "tokens_per_second": self.tokens_per_second,
        }
        return {**document, "responses": []}


# What of a Generation is shown as a part of its timing, or not at all.
_OWN: Final = frozenset({"pieces", "first_ms", "last_ms"})


def total(usage: Usage) -> int | None:
    counts = [count for count in (usage.prompt_tokens, usage.completion_tokens) if count is not None]
    return sum(counts) if counts else None


class Collected:
    """The text of an answer as it comes: what is kept is bounded, what came is counted."""

    def __init__(self) -> None:
        self.characters = self.pieces = 0
        self.first_ms: float | None = None
        self.last_ms: float | None = None
        self._parts: list[str] = []
        self._left = SHOWN_BYTES

    def add(self, text: str, at_ms: float) -> Piece:
        self.characters += len(text)
        self.pieces += 1
        self.first_ms = at_ms if self.first_ms is None else self.first_ms
        self.last_ms = at_ms
        kept = text[: self._left]
        self._left -= len(kept)
        if kept:
            self._parts.append(kept)
        return Piece(kept, at_ms)

    @property
    def text(self) -> str:
        return "".join(self._parts)


class Exchange:
    """What came back of one call so far; of what is sent, each client keeps its own."""

    def __init__(self, call: TextCall, status: str) -> None:
        self.call = call
        self.started = self.connected = time.perf_counter()
        self.built_ms = 0.0
        self.status, self.error = status, ""
        self.collected = Collected()
        self.outputs: tuple[Output, ...] = ()
        self.size = 0

    def now(self) -> float:
        return 1000 * (time.perf_counter() - self.connected)

    def generation(
        self, request: Message, response: Message, usage: Usage, wait_ms: float, finish_reason: str = ""
    ) -> Generation:
        seen = self.collected
        return Generation(
            ok=not self.error,
            status=self.status,
            error=self.error,
            text=seen.text,
            characters=seen.characters,
            finish_reason=finish_reason,
            usage=usage,
            timing=Timing(self.built_ms, 1000 * (self.connected - self.started), wait_ms, 0.0),
            request=request,
            response=response,
            pieces=seen.pieces,
            first_ms=seen.first_ms,
            last_ms=seen.last_ms,
            outputs=self.outputs,
        )


def prompt_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """What a protocol without messages can carry of a chat: the text of the last one."""
    return str(messages[-1].get("content", "")) if messages else ""
