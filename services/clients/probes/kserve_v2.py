"""Asks a server that speaks the V2 (KServe) protocol how it is: readiness and model metadata, over HTTP.

Requests of people go through the gateway and are not made here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from services.clients.inference.http_exchange import error_of
from services.clients.probes import exchange, required_inputs
from services.clients.probes.exchange import NotHttp, NotListening, ProbeResult
from services.errors import ProbeError
from services.listeners import Address
from services.specs import Tensor


@dataclass(frozen=True)
class ModelMetadata:
    """What a model says of itself. Shapes are those of requests, with the batch dimension; -1 is any size."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def model_metadata(address: Address, model: str, timeout: float = 2.0) -> ModelMetadata:
    """Raises ProbeError: nobody answers, the model is not there, or the answer makes no sense."""
    status, body = get(address, f"/v2/models/{quote(model, safe='')}", timeout)
    try:
        answer = json.loads(body)
        if status != 200:
            raise ProbeError(f"The server at {address} refused: {answer['error']}.")
        return parse_metadata(answer)
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # another server has taken the port
        raise not_v2(address) from error


def loaded_facts(
    address: Address, model: str, inputs: Sequence[Tensor], timeout: float = 2.0
) -> tuple[frozenset[str], bool]:
    """The inputs that may be left out, and whether the model is decoupled, of which Triton then tells no inputs.

    A request is sent that Triton refuses before any model runs. Raises ProbeError when nobody answers.
    """
    body = json.dumps(required_inputs.excess(inputs)).encode()
    headers = {"Content-Type": "application/json"}
    path = f"/v2/models/{quote(model, safe='')}/infer"
    status, answer = exchange.post(address, path, body, headers, timeout)
    refusal = error_of(answer, status)
    return required_inputs.optional_in(refusal, inputs) or frozenset(), required_inputs.is_decoupled(refusal)


def probe(address: Address, model: str, timeout: float = 2.0) -> ProbeResult:
    """The readiness of a replica: its health endpoint, then one real metadata call. Never raises for a bad server."""
    try:
        if get(address, "/v2/health/ready", timeout)[0] != 200:
            return ProbeResult(False, "The server is up and still loading the model.")
        metadata = model_metadata(address, model, timeout)
    except ProbeError as error:
        return ProbeResult(False, error.message, listening=not isinstance(error, NotListening))
    if metadata.name != model:
        return ProbeResult(False, f"The server answers for the model {metadata.name}, not for {model}.")
    return ProbeResult(True, "")


def get(address: Address, path: str, timeout: float) -> tuple[int, bytes]:
    """Status and body (at most 1 MiB). Raises ProbeError when there is no HTTP answer."""
    try:
        return exchange.get(address, path, timeout)
    except NotHttp as error:
        raise not_v2(address) from error


def not_v2(address: Address) -> ProbeError:
    return ProbeError(f"The server at {address} does not speak the V2 protocol.")


def parse_metadata(answer: Any) -> ModelMetadata:
    return ModelMetadata(
        name=str(answer["name"]),
        versions=tuple(str(version) for version in answer.get("versions", ())),
        platform=str(answer.get("platform", "")),
        inputs=tensors(answer.get("inputs", ())),
        outputs=tensors(answer.get("outputs", ())),
    )


def tensors(answer: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor(item["name"], item["datatype"], tuple(int(size) for size in item["shape"])) for item in answer)
