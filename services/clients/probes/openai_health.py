"""Asks a server that speaks OpenAI's protocol (vLLM) how it is.

Requests of people go through the gateway and are not made here.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from services.clients.probes import exchange
from services.clients.probes.exchange import NotListening, ProbeResult
from services.errors import ProbeError
from services.listeners import Address

JSON: Final = {"Content-Type": "application/json"}


def probe(address: Address, model: str, timeout: float = 2.0) -> ProbeResult:
    """The readiness of a replica: its health endpoint, then the list of its models. Never raises for a bad server."""
    try:
        status, _ = exchange.get(address, "/health", timeout)
        if status != HTTPStatus.OK:
            return ProbeResult(False, f"The server is up and not healthy (status {status}).")
        names = served(address, timeout)
    except ProbeError as error:
        return ProbeResult(False, error.message, listening=not isinstance(error, NotListening))
    if model not in names:
        return ProbeResult(False, f"The server answers for {', '.join(names) or 'no model'}, not for {model}.")
    return ProbeResult(True, "")


def served(address: Address, timeout: float = 2.0) -> tuple[str, ...]:
    """The names of the models and adapters it serves. Raises ProbeError."""
    status, body = exchange.get(address, "/v1/models", timeout)
    try:
        listed = json.loads(body)["data"]
        names = tuple(str(item["id"]) for item in listed)
    except (ValueError, LookupError, TypeError) as error:
        raise ProbeError(f"The server at {address} does not speak OpenAI's protocol.") from error
    if status != HTTPStatus.OK:
        raise ProbeError(f"The server at {address} lists no models (status {status}).")
    return names


def answers(address: Address, model: str, timeout: float) -> bool:
    """Whether the engine behind the server computes: one token, or one embedding, of a one-word prompt.

    Generation is asked for first. A server whose model only embeds refuses that before its engine is asked, so a
    refusal counts for nothing until the embedding was asked for, too.
    """
    requests: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/v1/completions", {"model": model, "prompt": "a", "max_tokens": 1}),
        ("/v1/embeddings", {"model": model, "input": "a"}),
    )
    try:
        for path, body in requests:
            status, _ = exchange.post(address, path, json.dumps(body).encode(), JSON, timeout)
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return False
            if status == HTTPStatus.OK:
                return True
    except ProbeError:
        return False
    return True


def warm_up(address: Address, model: str, timeout: float) -> None:
    """What a server prepares only when it is first asked: sampling, log probabilities, a grammar, each adapter.

    Any answer will do: what the model cannot do is refused. Raises ProbeError for a request without one.
    """
    plain = {"prompt": "a", "max_tokens": 1}
    if _status(address, "/v1/completions", {"model": model, **plain}, timeout) != HTTPStatus.OK:
        _status(address, "/v1/embeddings", {"model": model, "input": "a"}, timeout)
        return
    for more in FIRST_USES:
        _status(address, "/v1/completions", {"model": model, **plain, **more}, timeout)
    for adapter in served(address, timeout):
        if adapter != model:
            _status(address, "/v1/completions", {"model": adapter, **plain}, timeout)


FIRST_USES: Final[tuple[dict[str, Any], ...]] = (
    {"logprobs": 1, "temperature": 1, "top_k": 2, "top_p": 0.9},
    {"response_format": {"type": "json_object"}},
)


def _status(address: Address, path: str, body: dict[str, Any], timeout: float) -> int:
    return exchange.post(address, path, json.dumps(body).encode(), JSON, timeout)[0]
