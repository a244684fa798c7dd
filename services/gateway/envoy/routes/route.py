"""Which request goes where. Virtual hosts are chosen by the internal header `x-service`, one look-up however many.

A request is routed two or three times. First, with no `x-service` yet, in the virtual host of the doors (doors.py):
that is where everything unlisted ends, and where it is decided which filters the request will meet. Then the service
is known, from the headers or from the body, and its own virtual host takes over (backends.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.errors import GatewayRefused, not_ready
from services.gateway.envoy import auth, names
from services.gateway.envoy.document import ITEMS, Document, Item, discovery, remembered
from services.gateway.envoy.names import Json, typed
from services.gateway.envoy.routes import backends, cors, doors
from services.gateway.envoy.routes.refusals import header, refusals
from services.gateway.snapshot import GatewayKey, GatewayService, Limits, Snapshot
from services.schema import internal_headers

ROUTE_NAME = "services"
STRIPPED = (
    *(name for name in internal_headers.INTERNAL if name != internal_headers.SEQUENCE),
    # Name of the calling page. A backend that handles CORS itself, as vLLM does, would let every page read its answers.
    "origin",
    "x-api-key",
    "authorization",
    "cookie",
    "proxy-authorization",
    "mm-vmodel-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-envoy-expected-rq-timeout-ms",
    # Only a stream's first message is read here. Without this header a backend inflates none of those that follow.
    "grpc-encoding",
)
"""Request headers that no backend needs or should see."""
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Callers:
    """What some keys may reach: all services of these teams, and the services of these uids."""

    any: bool
    teams: frozenset[str]
    services: frozenset[str]

    @classmethod
    def of(cls, keys: Iterable[GatewayKey]) -> Callers:
        inference_keys = [key for key in keys if key.can_infer]
        teams = frozenset(key.team for key in inference_keys if not key.services)
        return cls(bool(inference_keys), teams, frozenset(uid for key in inference_keys for uid in key.services))


def route_configuration(snapshot: Snapshot) -> Document:
    """The content of rds.json."""
    services = sorted(snapshot.services, key=lambda service: service.name)
    keyless = any(service.public for service in services)
    own = sorted({service.auth_header for service in services if service.auth_header} - set(STRIPPED))
    origins = cors.union(services)
    limited = Callers.of(key for key in snapshot.keys if key.max_concurrent is not None)
    shell = typed(
        "envoy.config.route.v3.RouteConfiguration",
        name=ROUTE_NAME,
        vhost_header=internal_headers.SERVICE,
        request_headers_to_remove=[*STRIPPED, *own],
        virtual_hosts=[ITEMS],
    )
    hosts: list[Json | Item] = [
        doors.virtual_host(keyless=keyless, auth_headers=own, idle=_idle(snapshot), origins=origins),
        *({**refusal, **_metadata(cors.metadata(origins))} for refusal in refusals(snapshot.limits, keyless=keyless)),
        *(_virtual_host(service, snapshot.limits, limited=_is_limited(service, limited)) for service in services),
    ]
    return discovery(hosts, shell)


def _is_limited(service: GatewayService, limited: Callers) -> bool:
    """Whether a key with a limit may call the service. Other services keep the cheaper route without a limiter."""
    if service.public:
        return limited.any
    return bool(limited.teams & {"*", service.team}) or service.uid in limited.services


def _idle(snapshot: Snapshot) -> list[str]:
    """Filters without which every request of this snapshot goes the same way."""
    parameters = any(service.auth_parameters for service in snapshot.services)
    pages = any(service.cors_origins for service in snapshot.services)
    return [*([] if parameters else [names.PARAMETERS]), *([] if pages else [names.CORS])]


@remembered
def _virtual_host(service: GatewayService, limits: Limits, *, limited: bool) -> Json:
    if not DNS_LABEL.fullmatch(service.name):
        raise GatewayRefused(f"The service name {service.name!r} is not a DNS label: the gateway cannot route to it.")
    if service.ready and not service.endpoints:
        raise GatewayRefused(f"The service {service.name} is ready but has no endpoint.")
    routes = [*backends.routes(service, limits, limited=limited)] if service.ready else []
    policy = auth.may_call(service)
    answer = _wrong_protocol(service) if service.ready else _not_ready(service)
    return {
        "name": f"service-{service.name}",
        "domains": _domains(service),
        "retry_policy": backends.retry(service),
        # The last route answers every other request. The OpenAI script has checked its body, as for a served one.
        "routes": [*_preflight(service), *routes, {**answer, "typed_per_filter_config": doors.script("openai")}],
        "typed_per_filter_config": policy,
        **_service_metadata(service),
    }


def _domains(service: GatewayService) -> list[str]:
    """The backend or the bridge refuses unknown adapters of a language model. No other service has adapters."""
    own = [service.name, f"{service.name}:*"] if service.framework == "vllm" else [service.name]
    return [*own, *(names.PREFLIGHTS + domain for domain in own)] if service.cors_origins else own


def _preflight(service: GatewayService) -> list[Json]:
    return [cors.preflight({"prefix": "/"})] if service.cors_origins else []


def _service_metadata(service: GatewayService) -> Json:
    """Names of required headers, for the sentence that refuses a call without them; and the allowed origins."""
    header_names = ", ".join(sorted(name for name, _ in service.auth_parameters))
    log = {names.LOG_METADATA: {names.PARAMETERS: header_names}} if header_names else {}
    return _metadata({**log, **cors.metadata(service.cors_origins)})


def _metadata(filter_metadata: Json) -> Json:
    return {"metadata": {"filter_metadata": filter_metadata}} if filter_metadata else {}


def _not_ready(service: GatewayService) -> Json:
    """The same in every state, so that a change of state changes no route. The console shows the reason."""
    return {
        "name": service.name,
        "match": {"prefix": "/"},
        "direct_response": {"status": 503, "body": {"inline_string": not_ready(service.name)}},
        "response_headers_to_add": [header("retry-after", "5")],
    }


def _wrong_protocol(service: GatewayService) -> Json:
    """404 for paths that no protocol of this service has."""
    sentence = f"The service {service.name} is not served here: it answers {backends.spoken(service)}."
    return {
        "name": service.name,
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": sentence}},
    }
