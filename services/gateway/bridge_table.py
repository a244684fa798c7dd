"""The file that tells the bridge which services there are: written by the publisher, read by the bridge.

`{"version": "<digest>", "services": {<name>: {"uid", "team", "public", "ready", "revision", "framework", "task",
"adapters", "max_model_len", "created"}}}`. Keys and ports are not in it: who may call was decided before a
request comes to the bridge, and replicas are reached through the gateway.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from services.gateway.envoy import names
from services.gateway.envoy.document import REMEMBERED
from services.gateway.envoy.names import Json
from services.gateway.snapshot import GatewayService, Snapshot

FILE: Final = "bridge.json"


def render(snapshot: Snapshot) -> bytes:
    """Equal snapshots give equal bytes."""
    entries = [_entry(service) for service in sorted(snapshot.services, key=lambda service: service.name)]
    services = b"{" + b",".join(entries) + b"}"
    version = hashlib.sha256(services).hexdigest()[:16]
    return b'{"services":' + services + b',"version":' + names.dump(version) + b"}"


@lru_cache(REMEMBERED)
def _entry(service: GatewayService) -> bytes:
    entry: Json = {
        "uid": service.uid,
        "team": service.team,
        "public": service.public,
        "ready": service.ready,
        "revision": service.revision,
        "framework": service.framework,
        "task": service.task,
        "adapters": list(service.adapters),
        "max_model_len": service.max_model_len,
        "created": service.created,
    }
    return names.dump(service.name) + b":" + names.dump(entry)
