"""What every test of a service needs, whatever the protocol: who may, with which key, and what a refusal means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from django.conf import settings

from console import roles
from console.accounts.principal import INFER, Principal
from console.errors import Conflict, Forbidden, NotFound
from services import states
from services.access.addresses import address_of
from services.access.snippets.v2 import Snippets
from services.clients.generation.call import Generation
from services.clients.inference.call import Answer
from services.clients.inference.caller import Caller
from services.models import Revision, Service
from services.panel import keys as panel_keys

PRINTABLE: Final = re.compile(r"[!-~]{1,256}")
WRONG_KEY: Final = "Must be a key as it was shown: letters, digits and underscores without spaces."
HINTS: Final = {
    code: hint
    for codes, hint in {
        ("400", "INVALID_ARGUMENT"): "Compare names, datatypes and shapes with what the model asks for.",
        ("401", "UNAUTHENTICATED"): "The key is unknown, expired or revoked.",
        ("403", "PERMISSION_DENIED"): "The key does not open this service: see its scopes and services.",
        ("429",): "A limit of the key or of the service is used up: wait, or use another key.",
        ("500", "INTERNAL"): "The model failed on this input: the service's log says more.",
        ("503", "UNAVAILABLE"): "No replica takes requests now: see the service's state.",
        ("504", "DEADLINE_EXCEEDED"): "The model took too long: see the service's log, or send less at once.",
    }.items()
    for code in codes
}


A = TypeVar("A", Answer, Generation)


@dataclass(frozen=True)
class Result(Generic[A]):
    """An answer of 4xx or 5xx is a result too: see `answer.ok`, `answer.status`, `answer.error`, and `hint`."""

    protocol: str
    answer: A
    snippets: Snippets
    hint: str = ""
    """What to do about an error, when the console knows."""

    def to_json(self) -> dict[str, Any]:
        """`{protocol, ok, status, error, hint, outputs, responses, timing, request, response, snippets}`."""
        answer = self.answer.to_json()
        return {"protocol": self.protocol, "hint": self.hint, **answer, "snippets": dict(self.snippets)}


def may(service: Service, actor: Principal) -> None:
    """Raises NotFound, or Forbidden without the role viewer or the scope infer."""
    if actor.services is not None and service.pk not in actor.services:
        raise NotFound(f"Service {service.name} does not exist, or you have no access to it.")
    actor.require(service.team, roles.VIEWER)
    if INFER not in actor.scopes:
        raise Forbidden("This needs the scope infer.", hint="Use a key that has it.")


def serving(service: Service) -> Revision:
    """The revision that answers. Raises Conflict when the service is not READY."""
    if service.state not in states.ROUTABLE or service.serving is None:
        hint = service.message or "Wait until it is READY."
        raise Conflict(f"{service.name} is {service.state} and cannot be tested now.", hint=hint)
    return service.serving


def is_public(service: Service) -> bool:
    revision = service.target  # what it says of access holds at once, see snapshot
    return revision is not None and bool(revision.spec["auth"]["policy"] == "public")


def own_key(payload: Mapping[str, Any], errors: dict[str, list[str]]) -> str:
    """The key to try instead of the panel's own; what is wrong with it goes to `errors`."""
    key = payload.get("api_key") or ""
    if key and not (isinstance(key, str) and PRINTABLE.fullmatch(key)):
        errors["api_key"] = [WRONG_KEY]
    return key if isinstance(key, str) else ""


def caller_for(service: Service, key: str) -> Caller:
    """Whom the panel calls as: with what the service asks for. `key`: "" for the panel's own.

    Raises GatewayError or Unavailable when the gateway does not take the panel's key.
    """
    address = address_of(service, "")
    used = key or ("" if address.public else panel_keys.key_for(service))
    host = panel_keys.gateway_host()
    return Caller(host, settings.GATEWAY_PORT, used, address.key_header, address.parameters)


def hint(status: str, error: str) -> str:
    """What to do about an answer that is an error. The sentence itself came from the gateway or the server."""
    code = status.split(" ")[0]
    if code in {"413", "RESOURCE_EXHAUSTED"} and "limit" in error and "rate" not in error:
        limit = settings.MAX_PAYLOAD_BYTES >> 20
        return f"Send a smaller input, or have an administrator raise MAX_PAYLOAD_MIB, which is {limit}."
    return HINTS.get(code, "")
