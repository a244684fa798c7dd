"""The present state of services and keys as the gateway is told it: every change of either takes one.

Plain values in two queries, however many services and keys there are: rows of models would cost five times as much, and
thousands of them are read each time that one key is made. A service, its revision and its replicas come in one
query, because an edit moves requests from one revision to the next between any two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from itertools import groupby
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db.models import Case, F, IntegerField, JSONField, Q, TextField, When
from django.db.models.functions import Cast

from services import states, wiring
from services.control import model_files
from services.gateway.snapshot import MIB, Endpoint, GatewayKey, GatewayService, Keys, Limits, Snapshot
from services.models import ApiKey, Replica, Service
from services.models.services import DELETED
from services.specs import process_name

PROCESS_NUMBER: Final = Case(
    When(serving=None, then=0),
    When(serving__launch=None, then=F("serving__number")),
    default=F("serving__launch"),
    output_field=IntegerField(),
)
"""See Revision.process_number."""


class Row(NamedTuple):
    """A service with one replica of the revision that serves, or without any.

    Of the revision: the one that serves or, before the first one does, the one that should. JSON is left as text.
    """

    pk: int
    name: str
    team: str
    state: str
    desired: str
    created: datetime
    serving: int | None
    revision: int
    spec: str
    described: str | None
    """See Revision.described."""
    access: str | None
    """The spec that says who may call and how much, if it is another: what people asked for holds at once."""
    replica: str | None
    """Its state."""
    answered: datetime | None
    number: int | None
    """Its index."""
    process_number: int
    """As in the names of its processes; 0 while no revision serves."""


def take() -> Snapshot:
    most = settings.MAX_PAYLOAD_BYTES
    services = tuple(_service(tuple(rows), most) for _, rows in groupby(_rows(), lambda row: row.name))
    return Snapshot(services, _keys(), limits())


def keys() -> Keys:
    """Keys alone, which change apart from services."""
    # Like a route: who may call is said by the target, also while another revision serves.
    return Keys(_keys(), Service.objects.filter(target__spec__auth__policy="public").exists())


def _rows() -> Iterable[Row]:
    replica = "serving__replica_set"
    values = (
        "pk",
        "name",
        "team__name",
        "state",
        "desired",
        "created_at",
        "serving_id",
        "revision",
        "spec",
        "described",
        "access",
        f"{replica}__state",
        f"{replica}__started_at",
        f"{replica}__index",
        "process_number",
    )
    json_of = {name: Cast(_shown(name, output_field=JSONField()), TextField()) for name in ("spec", "described")}
    other = Case(When(~Q(serving=F("target")), then=F("target__spec")), output_field=JSONField())
    services = Service.objects.exclude(target=None).annotate(
        revision=_shown("number"), process_number=PROCESS_NUMBER, access=Cast(other, TextField()), **json_of
    )
    return (Row(*row) for row in services.order_by("name", f"{replica}__index").values_list(*values))


def _shown(name: str, **more: Any) -> Case:
    return Case(When(serving=None, then=F(f"target__{name}")), default=F(f"serving__{name}"), **more)


def limits() -> Limits:
    return Limits(
        max_payload_bytes=settings.MAX_PAYLOAD_BYTES,
        stream_seconds=settings.STREAM_MAX_SECONDS,
        domain=settings.GATEWAY_DOMAIN,
    )


@lru_cache(maxsize=1 << 14)
def _service(rows: tuple[Row, ...], most: int) -> GatewayService:
    """Remembered: of thousands, hardly any has changed since the last time. `most` bytes are what the gateway takes."""
    row = rows[0]
    ready = row.state in states.OPEN and row.serving is not None and row.desired != DELETED
    spec, described = json.loads(row.spec), json.loads(row.described or "{}") or {}
    access = json.loads(row.access) if row.access else spec
    sequences = spec["framework"] == "triton" and bool(described.get(model_files.SEQUENCES))
    endpoints = tuple(_endpoints(rows, sequences=sequences)) if ready else ()
    return GatewayService(
        uid=str(row.pk),
        name=row.name,
        team=row.team,
        public=access["auth"]["policy"] == "public",
        ready=bool(endpoints),
        endpoints=endpoints,
        revision=row.revision,
        created=int(row.created.timestamp()),
        framework=spec["framework"],
        sequences=sequences,
        classes=tuple(described.get(model_files.CLASSES, ())),
        **_model(spec, described),
        **_allowed(access, most),
    )


def _endpoints(rows: tuple[Row, ...], *, sequences: bool) -> Iterable[Endpoint]:
    """A replica that answered once stays: Envoy's own health checks are quicker than the console's.

    With sequences each replica stays while its revision serves: without it, its sequences would move to others.
    """
    for row in rows:
        if row.number is None or row.replica in Replica.LEAVING or not (row.answered or sequences):
            continue
        listeners = wiring.engine().listeners(process_name(row.name, row.process_number, row.number))
        yield Endpoint(listeners.http, listeners.grpc, row.number if sequences else 0)


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


def _allowed(spec: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Revisions stored before these fields existed lack them."""
    auth, limits = spec["auth"], spec.get("limits", {})
    payload = limits.get("max_payload_mib")
    return {
        # The gateway's own may have been lowered since.
        "max_payload_bytes": min(payload * MIB, most) if payload else None,
        "timeout_seconds": limits.get("timeout_seconds"),
        "concurrency": limits.get("concurrency"),
        "auth_header": auth.get("header", ""),
        "auth_parameters": tuple((pair["name"], pair["value"]) for pair in auth.get("parameters", ())),
        "cors_origins": tuple(spec.get("cors", {}).get("allowed_origins", ())),
    }


_TEXTS: Final = {"services": "service_ids", "scopes": "scopes", "shares": "shares"}


def _keys() -> tuple[GatewayKey, ...]:
    """Most keys say the same of scopes and services, so each text is read once."""
    values = (
        "key_id",
        "digest",
        "all_teams",
        "team__name",
        "services_text",
        "scopes_text",
        "shares_text",
        "rate_limit_per_minute",
        "tokens_per_minute",
        "max_concurrent",
    )
    texts = {f"{name}_text": Cast(field, TextField()) for name, field in _TEXTS.items()}
    rows = ApiKey.objects.live().annotate(**texts).order_by("key_id").values_list(*values)
    read, share = cache(_names), cache(_shares)
    return tuple(
        _key(key_id, digest, "*" if every else team, read(services), "infer" in read(scopes), *limits, *share(shares))
        for key_id, digest, every, team, services, scopes, shares, *limits in rows
    )


_key = lru_cache(maxsize=1 << 16)(GatewayKey)
"""Remembered, as services are."""


def _shares(text: str) -> tuple[str, str, tuple[tuple[str, int], ...]]:
    """Buckets of requests and tokens a minute, and slots of requests at once: see GatewayKey."""
    shares = json.loads(text)
    slots = tuple((str(key), int(most)) for key, most in shares.get("slots", ()))
    return str(shares.get("rate", "")), str(shares.get("tokens", "")), slots


def _names(text: str) -> tuple[str, ...]:
    return tuple(map(str, json.loads(text)))
