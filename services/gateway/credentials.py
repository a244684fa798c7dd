"""Publishes keys: apart from services, so that nothing about a service keeps a key from coming or going.

The lock and the file are its own, and Envoy is not asked beforehand: a credential is two texts in a grammar that is
checked here, line by line, and Envoy asks nothing more of one than that no two digests are the same. One line that is
not in that grammar is left out, and the others are published.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console.files import replace
from services.errors import GatewayError
from services.gateway import locks
from services.gateway.discovery_file import DiscoveryFile
from services.gateway.envoy import auth, inside, names
from services.gateway.envoy.document import Document, version
from services.gateway.snapshot import GatewayKey, Keys

CLIENT: Final = re.compile(r"[A-Za-z0-9;:=._~%-]+")
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PUBLISHED: Final = re.compile(rb'"key":"([0-9a-f]{64})"\}')
WAIT_SECONDS: Final = 3.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What Envoy reads next, or has read."""

    digests: frozenset[str]
    version: str


def deliver(take: Callable[[], Keys], gateway_dir: Path, *, seconds: float = WAIT_SECONDS) -> bool:
    """Takes the present keys and publishes them. False when nothing changed.

    Taken under the lock, so of two concurrent calls the later never publishes the older state. Raises GatewayError;
    then what was published goes on.
    """
    try:
        with locks.exclusive(gateway_dir, locks.KEYS, seconds):
            return _publish(render(take(), gateway_dir), DiscoveryFile(gateway_dir / names.KEYS))
    except OSError as error:
        raise GatewayError(f"The keys could not be written for the gateway: {error.strerror}.") from error


def prepare(gateway_dir: Path) -> None:
    """What Envoy needs to start, before there is a key. Keeps what is published already."""
    with locks.exclusive(gateway_dir, locks.KEYS, WAIT_SECONDS):
        file = DiscoveryFile(gateway_dir / names.KEYS)
        _publish(file.document if file.document.content else auth.credentials((), keyless=False), file)


def render(keys: Keys, gateway_dir: Path) -> Document:
    """The content of keys.json: every key that may be published now."""
    hops = _hops(gateway_dir) if any(key.hops for key in keys.keys) else frozenset()
    # Envoy rejects the whole file if two keys share a digest.
    by_digest = {key.digest: key for key in reversed(keys.keys) if _may_go(key, hops)}
    return auth.credentials(tuple(reversed(by_digest.values())), keyless=keys.keyless)


def _may_go(key: GatewayKey, hops: frozenset[str]) -> bool:
    client = auth.caller(key)
    if not (CLIENT.fullmatch(client) and DIGEST.fullmatch(key.digest)):
        logger.error("The key isk_%s is not in the form of a credential, and is not published", key.id)
        return False
    # Its limit is a cluster. Before that is published the key would be stopped, or not be limited.
    return hops.issuperset(key.hops)


def published(gateway_dir: Path) -> Published:
    content = _read(gateway_dir / names.KEYS)
    return Published(frozenset(digest.decode() for digest in _PUBLISHED.findall(content)), version(content))


def _publish(document: Document, file: DiscoveryFile) -> bool:
    if file.holds(document):
        return False
    for path, content in file.writes(document):
        replace(path, content)
    return True


def _hops(gateway_dir: Path) -> frozenset[str]:
    try:
        return frozenset(json.loads(_read(gateway_dir / inside.HOPS_FILE)))
    except ValueError:
        return frozenset()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
