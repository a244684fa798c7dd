"""A running gateway with backends behind it, and how the tests call it over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from services.gateway.snapshot import Snapshot
from tests.servers.gateway.rig import Backend, Gateway
from tests.services.gateway import snapshots


@dataclass
class Stage:
    """The gateway with two replicas of `mnist` and one of each other service, and the snapshot it was given."""

    gateway: Gateway
    first: Backend
    second: Backend
    snapshot: Snapshot

    def seen(self) -> list[dict[str, Any]]:
        """Every call that reached a backend, oldest first per backend."""
        return self.first.seen() + self.second.seen()

    def count(self) -> int:
        """How many those are."""
        return self.first.count() + self.second.count()

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(
            self.gateway.address,
            options=[
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )


@contextmanager
def staged(directory: Path) -> Iterator[Stage]:
    with Backend.borrow("one") as first, Backend.borrow("two") as second:
        snapshot = Snapshot(
            services=(
                snapshots.ready("mnist", first.endpoint, second.endpoint),
                snapshots.ready("asr", second.endpoint, team="speech"),
                snapshots.ready("open", first.endpoint, public=True),
                snapshots.waiting("slow"),
            ),
            keys=snapshots.KEYS,
        )
        with Gateway.started(directory, snapshot) as gateway:
            yield Stage(gateway, first, second, snapshot)


def infer_request(model: str, size: int = 0) -> Any:
    request = service_pb2.ModelInferRequest(model_name=model)
    if size:
        request.raw_input_contents.append(bytes(size))
    return request


def refused(call: Any, request: Any, *, key: str = "", **metadata: str) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Status, message and metadata of a call that must fail. Metadata names: `_` stands for `-`."""
    with pytest.raises(grpc.RpcError) as caught:
        send(call, request, key=key, **metadata)
    error = caught.value
    headers = {
        name: str(value) for name, value in [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
    }
    return error.code(), error.details(), headers


def send(call: Any, request: Any, *, key: str = "", **metadata: str) -> Any:
    """The response; the list of all responses for a stream, to which `request` is then an iterator."""
    pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    if key:
        pairs.append(("x-api-key", key))
    answer = call(request, metadata=tuple(pairs), timeout=20)
    return list(answer) if hasattr(answer, "__next__") else answer
