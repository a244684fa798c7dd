"""The test panel's verb: one real inference of a READY service, through the gateway, with a real API key."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.conf import settings

from console import roles
from console.errors import Conflict, Forbidden, InvalidFields, NotFound, Unavailable
from console.principal import INFER, Principal
from datasets import reading
from services import states
from services.actions import panel_keys, publishing, wiring
from services.clients import inference_grpc, inference_http, kserve_v2
from services.clients.inference import GRPC, HTTP, Answer, Call, Model
from services.clients.inference_inputs import read_inputs
from services.errors import ProbeError
from services.models import Replica, Revision, Service
from services.snippets import Snippets, snippets

logger = logging.getLogger(__name__)
ENCODINGS: Final = ("auto", "json", "binary")
JSON_VALUES: Final = 4096
"""With encoding auto, larger inputs travel as binary tensors."""
PRINTABLE: Final = re.compile(r"[!-~]{1,256}")
HINTS: Final = {
    code: hint
    for codes, hint in {
        ("400", "INVALID_ARGUMENT"): "Compare names, datatypes and shapes with what the model asks for.",
        ("401", "UNAUTHENTICATED"): "The key is unknown, expired or revoked.",
        ("403", "PERMISSION_DENIED"): "The key does not open this service: see its scopes and services.",
        ("429",): "The key's rate limit is used up: wait, or use another key.",
        ("500", "INTERNAL"): "The model failed on this input: the service's log says more.",
        ("503", "UNAVAILABLE"): "No replica takes requests now: see the service's state.",
        ("504", "DEADLINE_EXCEEDED"): "The model took too long: see the service's log, or send less at once.",
    }.items()
    for code in codes
}


@dataclass(frozen=True)
class ProbeResult:
    """An answer of 4xx or 5xx is a result too: see `answer.ok`, `answer.status`, `answer.error`, and `hint`."""

    protocol: str
    answer: Answer
    snippets: Snippets
    hint: str = ""
    """What to do about an error, when the console knows."""

    def to_json(self) -> dict[str, Any]:
        """`{protocol, ok, status, error, hint, outputs, responses, timing, request, response, snippets}`."""
        answer = self.answer.to_json()
        return {"protocol": self.protocol, "hint": self.hint, **answer, "snippets": asdict(self.snippets)}


def probe(
    service: Service, payload: Mapping[str, Any], *, actor: Principal, gateway_host: str | None = None
) -> ProbeResult:
    """Send one inference and time it.

    `payload`: {"protocol": "http"|"grpc", "inputs": [see clients.inference_inputs.read_inputs]}, and optionally
    "encoding": "json"|"binary" (HTTP), "api_key": another key to try than the panel's own.
    `gateway_host`: host:port of the gateway as the caller reaches it, for the snippets.
    Raises InvalidFields (`inputs.0.data`, ...) for inputs that do not fit the model, Conflict when the service is not
    READY, Unavailable when the gateway or every replica is away, Forbidden without the scope infer.
    """
    _may(service, actor)
    protocol, encoding, own_key = _options(payload)
    model = model_of(service)
    inputs = read_inputs(payload.get("inputs"), model)
    public = is_public(service)
    large = sum(item.values.size for item in inputs) > JSON_VALUES
    call = Call(
        host=panel_keys.gateway_host(), port=settings.GATEWAY_PORT, model=service.name, inputs=inputs,
        key=own_key or ("" if public else panel_keys.key_for(service)),
        binary=encoding == "binary" or (encoding == "auto" and large), stream=protocol == GRPC and model.decoupled,
    )
    answer = (inference_grpc if protocol == GRPC else inference_http).infer(call)
    logger.info("%s tested %s over %s: %s", actor.label, service.name, protocol, answer.status)
    target = gateway_host or call.address
    made = snippets(
        service.name, inputs, http_url=f"http://{target}", grpc_target=target, decoupled=model.decoupled,
        authorized=bool(call.key), binary=call.binary,
    )
    return ProbeResult(protocol, answer, made, _hint(answer, protocol, model))


def model_of(service: Service) -> Model:
    """What its replicas say. Raises Conflict when the service is not READY, Unavailable when none answers."""
    if service.state not in states.ROUTABLE or service.serving is None:
        hint = service.message or "Wait until it is READY."
        raise Conflict(f"{service.name} is {service.state} and cannot be tested now.", hint=hint)
    rows = list(service.replica_set.filter(revision=service.serving, started_at__isnull=False))
    reason = "no replica has started"
    for row in sorted(rows, key=lambda row: row.state != Replica.READY):
        try:
            said = kserve_v2.model_metadata(publishing.HOST, row.http_port, service.name)
            return Model(said.name, said.inputs, said.outputs, decoupled=_decoupled(service.serving))
        except ProbeError as error:
            reason = error.message
    raise Unavailable(f"No replica of {service.name} says what its inputs are: {reason}", hint="Look at its logs.")


def _decoupled(revision: Revision) -> bool:
    """Read from the model files: a replica's configuration is closed to everybody."""
    tree = reading.tree(revision.tree)
    spec = revision.parsed()
    return tree is not None and wiring.framework(spec.framework).describe(tree.path, spec.framework_config).decoupled


def is_public(service: Service) -> bool:
    revision = service.serving or service.target
    return revision is not None and bool(revision.spec["auth"]["policy"] == "public")


def _may(service: Service, actor: Principal) -> None:
    if actor.services and service.name not in actor.services:
        raise NotFound(f"There is no service named {service.name} that you may see.")
    actor.require(service.team, roles.VIEWER)
    if INFER not in actor.scopes:
        raise Forbidden("This needs the scope infer.", hint="Use a key that has it.")


def _options(payload: Mapping[str, Any]) -> tuple[str, str, str]:
    errors: dict[str, list[str]] = {}
    protocol, encoding = payload.get("protocol", HTTP), payload.get("encoding") or "auto"
    own_key = payload.get("api_key") or ""
    if protocol not in (HTTP, GRPC):
        errors["protocol"] = [f"Must be {HTTP} or {GRPC}."]
    if encoding not in ENCODINGS:
        errors["encoding"] = [f"Must be one of: {', '.join(ENCODINGS)}."]
    if own_key and not (isinstance(own_key, str) and PRINTABLE.fullmatch(own_key)):
        errors["api_key"] = ["Must be a key as it was shown: letters, digits and underscores without spaces."]
    if errors:
        raise InvalidFields(errors)
    return protocol, encoding, own_key


def _hint(answer: Answer, protocol: str, model: Model) -> str:
    """What to do about it. The sentence itself came from the gateway or the server."""
    if answer.ok:
        return ""
    if protocol == HTTP and model.decoupled:
        return "This model streams its responses, which only gRPC can carry: send it over gRPC."
    code = answer.status.split(" ")[0]
    if code in {"413", "RESOURCE_EXHAUSTED"} and "limit" in answer.error and "rate" not in answer.error:
        limit = settings.MAX_PAYLOAD_BYTES >> 20
        return f"Send a smaller input, or have an administrator raise MAX_PAYLOAD_MIB, which is {limit}."
    return HINTS.get(code, "")
