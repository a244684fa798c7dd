"""The test panel's own key: one for each service, for half a day, found again without being stored.

A panel that made a key for each test would publish a gateway configuration each time; one that kept the key would keep
a secret. So the key is a row like any other (people see it among the keys, and may revoke it), and its secret follows
from SECRET_KEY and the row's id. It opens one service, and for inference only.
"""

from __future__ import annotations

import hmac
import time
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from console.accounts.principal import INFER, SYSTEM
from console.errors import Unavailable
from console.stack.addresses import reachable
from services.access.addresses import address_of
from services.clients.inference import http as inference_http
from services.clients.inference.caller import Caller
from services.control import publishing
from services.gateway import credentials
from services.gateway import keys as format
from services.models import ApiKey, Service
from services.querysets import ApiKeyQuerySet

NAME: Final = "test panel"
PURPOSE: Final = "test panel key"
LIFE = timedelta(hours=12)
RENEW_BEFORE = timedelta(minutes=10)
"""Least time that a key must have left, so that none expires in the middle of a test."""
TAKEN_SECONDS = 5.0
"""How long the gateway may take to read a new configuration (0.3 s with 2,000 services)."""


def key_for(service: Service) -> str:
    """A key that opens `service` now. One that is not published yet is published before it is returned.

    Raises GatewayError when the gateway refuses its configuration, Unavailable when it does not take the key in time.
    """
    key = _present(service) or _make(service)
    if format.digest(key) in credentials.published(settings.HOME.gateway).digests:
        return key
    publishing.publish_keys()
    _wait_until_taken(service, key)
    return key


def gateway_host() -> str:
    """Where the console itself reaches the gateway: it listens on CONSOLE_BIND."""
    return reachable(settings.CONSOLE_BIND)


def _present(service: Service) -> str:
    rows = _rows(service).filter(expires_at__gt=timezone.now() + RENEW_BEFORE, revoked_at=None)
    for row in rows:
        derived = _derive(row.key_id)
        # Differs for a row that a person made under this name, and after SECRET_KEY has been changed.
        if row.service_ids == [service.pk] and hmac.compare_digest(row.digest, derived.digest):
            return derived.key
    return ""


def _make(service: Service) -> str:
    new = _derive(format.generate().id)
    with transaction.atomic():
        _rows(service).filter(expires_at__lt=timezone.now()).delete()
        ApiKey.objects.create(
            team=service.team,
            name=NAME,
            key_id=new.id,
            digest=new.digest,
            scopes=[INFER],
            services=[service.name],
            service_ids=[service.pk],
            expires_at=timezone.now() + LIFE,
            created_by=SYSTEM.label,
        )
    return new.key


def _rows(service: Service) -> ApiKeyQuerySet:
    rows: ApiKeyQuerySet = ApiKey.objects.filter(team=service.team, name=NAME, created_by=SYSTEM.label)
    return rows


def _derive(key_id: str) -> format.NewKey:
    return format.derive(key_id, settings.SECRET_KEY, PURPOSE)


def _wait_until_taken(service: Service, key: str) -> None:
    """Not 401 (the key is not there yet), nor 404 or 503 (the gateway has only just learnt of the service)."""
    deadline = time.monotonic() + TAKEN_SECONDS
    path = f"/v2/models/{service.name}/ready"
    address = address_of(service, "")
    caller = Caller(gateway_host(), settings.GATEWAY_PORT, key, address.key_header, address.parameters, timeout=5.0)
    while (status := inference_http.status(caller, path)) in {401, 404, 503}:
        if time.monotonic() < deadline:
            time.sleep(0.05)
        elif status == 401:
            raise Unavailable("The gateway has not taken the key of the test panel yet.", hint="Try again in a moment.")
        else:
            return  # what is missing is what the test itself will say
