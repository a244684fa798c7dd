"""A running gateway with every kind of door: services of text, a Triton one, and a stand-in for the bridge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc

from services.gateway.snapshot import Snapshot
from tests.servers.gateway.rig import Answer, Backend, Bridge, Gateway, until
from tests.services.gateway import snapshots

KEY = "isk_textkey00000_0000000000000000000000000000000000000000000"
TOKENS = "isk_tokens000000_0000000000000000000000000000000000000000000"
BOTH = "isk_bothteams000_0000000000000000000000000000000000000000000"
CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"


@dataclass
class Doors:
    gateway: Gateway
    backend: Backend
    """Serves every service, and records what reached it."""
    bridge: Bridge
    snapshot: Snapshot

    def count(self) -> int:
        """How many calls reached the backend and the bridge."""
        return self.backend.count() + self.bridge.count()

    def post(self, path: str, body: Any, key: str = KEY, **headers: str) -> Answer:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"Content_Type": "application/json", **headers}
        return self.gateway.call("POST", path, sent, X_API_Key=key, **kind)

    def channel(self, **options: str) -> grpc.Channel:
        chosen = [(f"grpc.{name}", value) for name, value in options.items()]
        return grpc.insecure_channel(self.gateway.address, options=[("grpc.use_local_subchannel_pool", 1), *chosen])

    def lines(self, path: str, count: int = 1) -> list[dict[str, Any]]:
        """The last lines of the access log for `path`, when there are so many."""

        def last_lines() -> list[dict[str, Any]]:
            lines = [line for line in self.gateway.log_lines() if line["path"] == path]
            return lines[-count:] if len(lines) >= count else []

        return until(last_lines)


@contextmanager
def open_doors(directory: Path) -> Iterator[Doors]:
    directory.mkdir(exist_ok=True)
    with Bridge.borrow() as bridge, Backend.borrow("one") as backend:
        (directory / "bridge").symlink_to(bridge.directory)
        at = backend.endpoint
        own = replace(
            snapshots.ready("own", at), auth_header="x-lab-key", auth_parameters=(("x-lab", "7"), ("x-site", "a b"))
        )
        snapshot = Snapshot(
            services=(
                snapshots.ready("mnist", at),
                snapshots.text("llama", at, adapters=("french",)),
                snapshots.text("words", at, task="completion"),
                snapshots.text("vectors", at, task="embedding"),
                snapshots.text("open-text", at, public=True),
                replace(snapshots.ready("small", at), max_payload_bytes=1 << 20, timeout_seconds=1),
                snapshots.text("little", at, max_payload_bytes=1 << 20),
                own,
            ),
            keys=(
                *snapshots.KEYS,
                snapshots.key(KEY, "text"),
                replace(snapshots.key(TOKENS, "text"), tokens_per_minute=20),
                snapshots.key(BOTH, "*"),
            ),
        )
        with Gateway.started(directory / "g", snapshot) as gateway:
            until(lambda: gateway.call("GET", "/v2/models/mnist", X_API_Key=BOTH).status == 200)
            yield Doors(gateway, backend, bridge, snapshot)
