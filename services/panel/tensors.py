"""The test panel's verb: one real inference of a READY service, through the gateway, with a real API key.

Tensors are here, text is in `generations`; `probe` takes either.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from console.accounts.principal import Principal
from console.errors import InvalidFields, Unavailable
from datasets import wiring as datasets_wiring
from services import wiring
from services.access.addresses import address_of
from services.access.doors import DOORS, TRITON, refusal
from services.access.snippets.v1 import v1_snippets
from services.access.snippets.v2 import snippets
from services.clients.inference import grpc as inference_grpc
from services.clients.inference import http as inference_http
from services.clients.inference import kserve_v1
from services.clients.inference.call import GRPC, HTTP, V1, Answer, Call, Model
from services.clients.inference.inputs import read_inputs, read_step
from services.clients.probes import kserve_v2
from services.control.replicas.life import listeners_of
from services.errors import ProbeError
from services.models import Replica, Revision, Service
from services.panel import calling
from services.panel import text as panel_text
from services.panel.calling import is_public
from services.specs import ModelDescription

__all__ = ["ProbeResult", "is_public", "model_of", "probe"]

logger = logging.getLogger(__name__)
ENCODINGS: Final = ("auto", "json", "binary")
JSON_VALUES: Final = 4096
"""With encoding auto, larger inputs travel as binary tensors."""


class ProbeResult(calling.Result[Answer]):
    """Whose answer has tensors."""


def probe(
    service: Service, payload: Mapping[str, Any], *, actor: Principal, gateway_host: str | None = None
) -> ProbeResult | panel_text.TextResult:
    """Send one inference and time it.

    `payload`, of a Triton service: {"protocol": "http"|"grpc", "inputs": [see inference.inputs.read_inputs]}
    with optionally "encoding": "auto"|"json"|"binary" (HTTP) and "sequence": {"id", "start", "end"}; or
    {"protocol": "v1", "instances": [...] or "inputs": ...}. Without "protocol", one that the model can answer. Of a
    vLLM service: see `generations.prepare`. Always optional: "api_key", another key to try than the panel's own.
    `gateway_host`: host:port of the gateway as the caller reaches it, for the snippets.
    Raises InvalidFields (`inputs.0.data`, ...) for inputs that do not fit the model, Conflict when the service is not
    READY, Unavailable when the gateway or every replica is away, Forbidden without the scope infer.
    """
    calling.may(service, actor)
    if address_of(service, "").framework != TRITON:
        return panel_text.probe(service, payload, actor=actor, gateway_host=gateway_host)
    protocol, encoding, own_key = _options(payload)
    model = model_of(service)
    protocol = protocol or (GRPC if model.decoupled else HTTP)
    send = _v1 if protocol == V1 else _v2
    result = send(service, model, payload, protocol, encoding, own_key, gateway_host)
    logger.info("%s tested %s over %s: %s", actor.label, service.name, protocol, result.answer.status)
    return result


def _v2(
    service: Service,
    model: Model,
    payload: Mapping[str, Any],
    protocol: str,
    encoding: str,
    own_key: str,
    gateway_host: str | None,
) -> ProbeResult:
    inputs = read_inputs(payload.get("inputs"), model)
    step = read_step(payload.get("sequence"), model)
    large = sum(item.values.size for item in inputs) > JSON_VALUES
    call = Call(
        calling.caller_for(service, own_key),
        service.name,
        inputs,
        outputs=model.outputs,
        step=step,
        binary=encoding == "binary" or (encoding == "auto" and large),
        stream=protocol == GRPC and model.decoupled,
    )
    answer = (inference_grpc if protocol == GRPC else inference_http).infer(call)
    address = address_of(service, gateway_host or call.caller.address)
    examples = snippets(
        address, inputs, decoupled=model.decoupled, binary=call.binary, outputs=model.outputs, step=step
    )
    return ProbeResult(protocol, answer, examples, _hint(answer, protocol, model))


def _v1(
    service: Service,
    model: Model,
    payload: Mapping[str, Any],
    protocol: str,
    encoding: str,
    own_key: str,
    gateway_host: str | None,
) -> ProbeResult:
    given = [name for name in (kserve_v1.ROWS, kserve_v1.COLUMNS) if payload.get(name) is not None]
    if len(given) != 1:
        raise InvalidFields({kserve_v1.ROWS: "Give `instances`, a list of rows, or `inputs`, a column for each input."})
    body = {name: payload[name] for name in (*given, "signature_name") if name in payload}
    caller = calling.caller_for(service, own_key)
    answer = kserve_v1.predict(caller, service.name, body)
    examples = v1_snippets(address_of(service, gateway_host or caller.address), body, model)
    return ProbeResult(protocol, answer, examples, _hint(answer, protocol, model))


def model_of(service: Service) -> Model:
    """What its replicas say. Raises Conflict when the service is not READY, Unavailable when none answers."""
    revision = calling.serving(service)
    rows = list(
        service.replica_set.filter(revision=revision, started_at__isnull=False).select_related("service", "revision")
    )
    reason = "no replica has started"
    for row in sorted(rows, key=lambda row: row.state != Replica.READY):
        try:
            metadata = kserve_v2.model_metadata(listeners_of(row).http, service.name)
            model = Model(metadata.name, metadata.inputs, metadata.outputs)
            return _with_facts(model, description_of(revision), row)
        except ProbeError as error:
            reason = error.message
    raise Unavailable(f"No replica of {service.name} says what its inputs are: {reason}", hint="Check its logs.")


def _with_facts(model: Model, files: ModelDescription, replica: Replica) -> Model:
    """With what metadata does not tell: the model files do, unless loading the model may change it."""
    optional, decoupled = frozenset(files.optional), files.decoupled
    if files.completes:
        optional, decoupled = kserve_v2.loaded_facts(listeners_of(replica).http, model.name, model.inputs)
    return replace(model, decoupled=decoupled, sequences=files.sequences, optional=optional)


def description_of(revision: Revision) -> ModelDescription:
    """What the model files say, as far as they are on this node."""
    tree = datasets_wiring.tree(revision.tree)
    if tree is None:
        return ModelDescription()
    spec = revision.parsed()
    return wiring.framework(spec.framework).describe(tree.path, spec.framework_config)


def _options(payload: Mapping[str, Any]) -> tuple[str, str, str]:
    """The protocol ("" when the model is to decide), the encoding, and the key to try."""
    errors: dict[str, list[str]] = {}
    protocol, encoding = payload.get("protocol"), payload.get("encoding") or "auto"
    own_key = calling.own_key(payload, errors)
    if protocol not in (HTTP, GRPC, V1, None):
        errors["protocol"] = [f"Must be {HTTP}, {GRPC} or {V1}: this is a Triton service."]
    if encoding not in ENCODINGS:
        errors["encoding"] = [f"Must be one of: {', '.join(ENCODINGS)}."]
    if errors:
        raise InvalidFields(errors)
    return protocol or "", encoding, own_key


def _hint(answer: Answer, protocol: str, model: Model) -> str:
    if answer.ok:
        return ""
    if reason := refusal(DOORS[protocol], decoupled=model.decoupled, sequences=model.sequences):
        return f"{reason} Send it over gRPC."
    return calling.hint(answer.status, answer.error)
