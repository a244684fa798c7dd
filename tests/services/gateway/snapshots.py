"""Snapshots that the tests share. Keys are fixed, so that golden files are."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

from services.gateway import keys
from services.gateway.snapshot import Endpoint, GatewayKey, GatewayService, Snapshot
from services.listeners import Address

ADMIN = "isk_adminadmin00_0000000000000000000000000000000000000000000"
TEAM = "isk_teamteam0000_0000000000000000000000000000000000000000000"
NAMED = "isk_named0000000_0000000000000000000000000000000000000000000"
LIMITED = "isk_limited00000_0000000000000000000000000000000000000000000"
READER = "isk_reader000000_0000000000000000000000000000000000000000000"
STRANGER = "isk_stranger0000_0000000000000000000000000000000000000000000"


def key(
    secret: str, team: str, *, services: tuple[str, ...] = (), infer: bool = True, limit: int | None = None
) -> GatewayKey:
    """`services`: names."""
    return GatewayKey(secret[4:16], keys.digest(secret), team, tuple(map(uid, services)), infer, limit)


def uid(service: str) -> str:
    """As a primary key is: nothing in it says what the service is called."""
    return str(zlib.crc32(service.encode()))


def endpoint(http: int, grpc: int) -> Endpoint:
    return Endpoint(Address(host="127.0.0.1", port=http), Address(host="127.0.0.1", port=grpc))


def ready(
    name: str, *endpoints: Endpoint, team: str = "vision", public: bool = False, classes: tuple[str, ...] = ()
) -> GatewayService:
    endpoints = endpoints or (endpoint(9000, 9001),)
    return GatewayService(name, team, public, True, endpoints, uid=uid(name), classes=classes)


def text(name: str, *endpoints: Endpoint, task: str = "chat", **more: Any) -> GatewayService:
    """A vLLM service."""
    return replace(ready(name, *endpoints, team="text"), framework="vllm", task=task, **more)


def waiting(name: str, team: str = "vision") -> GatewayService:
    return GatewayService(name, team, False, False, uid=uid(name))


KEYS = (
    key(ADMIN, "*"),
    key(TEAM, "vision"),
    key(NAMED, "vision", services=("mnist",)),
    key(LIMITED, "vision", limit=3),
    key(READER, "vision", infer=False),
    key(STRANGER, "speech"),
)
TWO = (endpoint(9000, 9001), endpoint(9010, 9011))

CASES = {
    "empty": Snapshot(),
    "two_replicas": Snapshot(services=(ready("mnist", *TWO),)),
    "sockets": Snapshot(
        services=(ready("mnist", Endpoint(Address.at("/run/s/a/http.sock"), Address.at("/run/s/a/grpc.sock"))),)
    ),
    "not_ready": Snapshot(services=(waiting("mnist"),)),
    "public": Snapshot(services=(ready("mnist", public=True),)),
    "keys": Snapshot(services=(ready("mnist"), ready("asr", team="speech")), keys=KEYS),
}


def many(count: int) -> Snapshot:
    services = tuple(ready(f"svc-{i}", *TWO, team=f"team-{i % 7}") for i in range(count))
    return Snapshot(services=services, keys=KEYS)
