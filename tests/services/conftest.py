"""A team with a dataset of one servable model, a queue, a node, and an engine that remembers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from console.accounts.principal import Principal, for_user
from console.models import Team
from datasets.actions import datasets, trust
from datasets.models import Dataset
from services import wiring
from services.actions import delivery, places
from services.actions import services as verbs
from services.actions.delivery import Delivery
from services.clients.kernel import activity, connections
from services.clients.probes import kserve_v2
from services.control import publishing
from services.control.replicas import hung as hung_replicas
from services.control.replicas import life as replicas
from services.frameworks.triton.framework import Triton
from services.frameworks.vllm.framework import Vllm
from services.gateway import status
from services.gateway.snapshot import Snapshot
from services.models import Node, Queue, Service
from tests.services.nvml import FakeNvml
from tests.services.watched import Numbers
from tests.services.world import RecordingEngine, World

CONFIG = """backend: "python"
max_batch_size: 0
input [{ name: "IN" data_type: TYPE_FP32 dims: [-1] }]
output [{ name: "OUT" data_type: TYPE_FP32 dims: [-1] }]
"""


@pytest.fixture
def actor(alice: User) -> Principal:
    return for_user(alice)


@pytest.fixture
def dataset(team: Team, actor: Principal, dataset_root: Path, tmp_path: Path) -> Dataset:
    folder = dataset_root / tmp_path.name / "models" / "echo"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text("class TritonPythonModel:\n    pass\n")
    new_dataset = datasets.create(
        team=team, name="models", kind="local", options={"path": str(folder.parent)}, actor=actor
    )
    return trust.trust(new_dataset, actor=actor)


@pytest.fixture
def queue(db: None) -> Queue:
    return Queue.objects.create(name="default", cpu=4, memory_gib=8)


@pytest.fixture
def node(db: None) -> Node:
    return Node.objects.create(name="local", labels={"zone": "a"}, cpu=8, memory_gib=16)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Snapshot]:
    """What the gateway was told, instead of telling it."""
    snapshots: list[Snapshot] = []
    monkeypatch.setattr(publishing, "publish_now", lambda: snapshots.append(publishing.snapshot()))
    monkeypatch.setattr(delivery, "carry_out", lambda rows: snapshots.append(publishing.snapshot()) or Delivery())
    monkeypatch.setattr(delivery, "states", lambda rows: {row.pk: Delivery() for row in rows})
    return snapshots


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, queue: Queue, node: Node, published: list[Snapshot]) -> World:
    new_world = World(RecordingEngine())
    monkeypatch.setattr(wiring, "engine", lambda: new_world.engine)
    monkeypatch.setattr(kserve_v2, "probe", new_world.probe)
    monkeypatch.setattr(replicas, "_longest_drain", lambda: timedelta(0))
    monkeypatch.setattr(Triton, "missing", lambda self, runtime: "")
    monkeypatch.setattr(Vllm, "warms_up", False)  # no process is there; see test_warming.py
    return new_world


@pytest.fixture
def gpus(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeNvml:
    """The node has eight GPUs that are not there, two of them cut into MIG instances, and the queue all of these."""
    nvml = FakeNvml().install(monkeypatch, tmp_path)
    node = places.report_node()
    Queue.objects.update(gpus=node.gpus)
    return nvml


@pytest.fixture
def payload(dataset: Dataset) -> dict[str, Any]:
    return {"name": "echo", "framework": "triton", "dataset": dataset.name, "model_path": "echo", "queue": "default"}


@pytest.fixture
def make(world: World, team: Team, actor: Principal, payload: dict[str, Any]) -> Callable[..., Service]:
    """A service, as the form would create it."""

    def create(**changes: Any) -> Service:
        return verbs.create({**payload, **changes}, team=team, actor=actor)

    return create


@pytest.fixture
def ready(make: Callable[..., Service], world: World) -> Callable[..., Service]:
    """A service that got all the way to READY."""

    def create(**changes: Any) -> Service:
        service = world.preheat(make(**changes))
        return world.settle(service, steps=3)  # queued, starting, ready

    return create


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, world: World) -> Numbers:
    """What the watchdog sees."""
    watch_numbers = Numbers()
    hung_replicas._seen.clear()
    monkeypatch.setattr(status, "replicas", lambda gateway_dir: watch_numbers.health())
    monkeypatch.setattr(Triton, "answers", lambda self, *arguments: watch_numbers.answer(*arguments))
    monkeypatch.setattr(Triton, "progress", lambda self, listeners, timeout: watch_numbers.progress)
    monkeypatch.setattr(activity, "read", watch_numbers.usage)
    monkeypatch.setattr(status, "received", lambda gateway_dir, service: watch_numbers.sent)
    monkeypatch.setattr(connections, "held", lambda paths: 1)
    return watch_numbers


@pytest.fixture
def numbers(watched: Numbers, ready: Callable[..., Service]) -> Numbers:
    """What the watchdog reads of the one replica of a READY service."""
    ready()
    return watched
