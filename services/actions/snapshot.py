"""The present state of services and keys as the gateway is told it: every change of either takes one.

Four queries for plain values, however many services and keys there are: rows of models would cost five times as much,
and thousands of them are read each time that one key is made.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db.models import F, IntegerField, OuterRef, Subquery, TextField
from django.db.models.functions import Cast, Coalesce

from services import states
from services.gateway.snapshot import MIB, Endpoint, GatewayKey, GatewayService, Limits, Snapshot
from services.models import ApiKey, Replica, Revision, Service
from services.models.services import DELETED

HOST: Final = "127.0.0.1"
"""Where the local engine's replicas listen."""


class ServiceRow(NamedTuple):
    name: str
    team: str
    state: str
    desired: str
    created: datetime
    serving: int | None
    shown: int
    """The revision that serves or, before the first one does, the one that should."""


class RevisionRow(NamedTuple):
    number: int
    spec: Mapping[str, Any]
    described: Mapping[str, Any] | None
    """See Revision.described."""


def take() -> Snapshot:
    revisions, endpoints = _revisions(), _endpoints()
    shown = Coalesce("serving_id", "target_id")
    values = ("name", "team__name", "state", "desired", "created_at", "serving_id", "shown")
    rows = Service.objects.annotate(shown=shown).exclude(shown=None).order_by("name").values_list(*values)
    services = (ServiceRow(*row) for row in rows)
    return Snapshot(
        services=tuple(_service(row, revisions[row.shown], endpoints.get(row.serving, ())) for row in services),
        keys=_keys(),
        limits=limits(),
    )


def limits() -> Limits:
    return Limits(max_payload_bytes=settings.MAX_PAYLOAD_BYTES, domain=settings.GATEWAY_DOMAIN)


def _revisions() -> dict[int, RevisionRow]:
    """Those that a service shows, by primary key."""
    owner = Service.objects.filter(pk=OuterRef("service_id")).order_by()
    shown = Subquery(owner.values(shown=Coalesce("serving_id", "target_id")), output_field=IntegerField())
    rows = Revision.objects.order_by().filter(pk=shown).values_list("pk", "number", "spec", "described")
    return {pk: RevisionRow(*row) for pk, *row in rows}


def _endpoints() -> dict[int | None, list[Endpoint]]:
    """By revision. A replica that answered once stays: Envoy's own health checks are quicker than the console's."""
    found = defaultdict(list)
    answering = Replica.objects.filter(started_at__isnull=False, revision=F("service__serving"))
    rows = answering.exclude(state=Replica.DRAINING).order_by("revision_id", "index")
    for revision, http_port, grpc_port in rows.values_list("revision_id", "http_port", "grpc_port"):
        found[revision].append(Endpoint(HOST, http_port, grpc_port))
    return dict(found)


def _service(row: ServiceRow, revision: RevisionRow, answering: list[Endpoint] | tuple[()]) -> GatewayService:
    ready = row.state in states.OPEN and row.serving is not None and row.desired != DELETED
    endpoints = tuple(answering) if ready else ()
    spec = revision.spec
    return GatewayService(
        name=row.name,
        team=row.team,
        public=spec["auth"]["policy"] == "public",
        ready=bool(endpoints),
        message=_why_not(row),
        endpoints=endpoints,
        revision=revision.number,
        created=int(row.created.timestamp()),
        framework=spec["framework"],
        **_model(spec, revision.described or {}),
        **_allowed(spec),
    )


def _why_not(row: ServiceRow) -> str:
    """What a caller is told with a 503: the state only. Details may name paths, and are for the console's page."""
    return "" if row.state in states.ROUTABLE else f"Service {row.name} is {row.state}."


def _model(spec: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a language model: by people, or else by its files."""
    config = spec["framework_config"]
    if spec["framework"] != "vllm":
        return {}
    return {
        "task": config.get("task") or described.get("task") or "",
        "adapters": tuple(module["name"] for module in config.get("lora_modules", ())),
        "max_model_len": config.get("max_model_len") or described.get("max_model_len"),
    }


def _allowed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Revisions of before limits and headers were there say nothing of them."""
    auth, limits = spec["auth"], spec.get("limits", {})
    payload = limits.get("max_payload_mib")
    return {
        # The gateway's own may have been lowered since.
        "max_payload_bytes": min(payload * MIB, settings.MAX_PAYLOAD_BYTES) if payload else None,
        "timeout_seconds": limits.get("timeout_seconds"),
        "concurrency": limits.get("concurrency"),
        "auth_header": auth.get("header", ""),
        "auth_parameters": tuple((pair["name"], pair["value"]) for pair in auth.get("parameters", ())),
    }


def _keys() -> tuple[GatewayKey, ...]:
    """Most keys say the same of scopes and services, so each text is read once."""
    values = (
        "key_id", "digest", "all_teams", "team__name", "services_text", "scopes_text", "rate_limit_per_minute",
        "tokens_per_minute", "max_concurrent",
    )  # fmt: skip
    texts = {f"{name}_text": Cast(name, TextField()) for name in ("services", "scopes")}
    rows = ApiKey.objects.live().annotate(**texts).order_by("key_id").values_list(*values)
    read = cache(_names)
    return tuple(
        GatewayKey(key_id, digest, "*" if every else team, read(services), "infer" in read(scopes), *limits)
        for key_id, digest, every, team, services, scopes, *limits in rows
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
