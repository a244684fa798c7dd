"""A team with a dataset of models, a queue, a service that is being prepared, and the people's clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from console.accounts.principal import for_user
from console.models import Team
from datasets.actions import datasets, trust
from datasets.models import Dataset
from services.actions import delivery, keys
from services.actions import services as verbs
from services.actions.delivery import Delivery
from services.control import publishing
from services.frameworks.triton.framework import Triton
from services.models import ApiKey, Queue, Service
from tests.rest import Api
from tests.services.usage.conftest import calls  # noqa: F401

CONFIG = """backend: "python"
input [{ name: "IN" data_type: TYPE_FP32 dims: [-1] }]
output [{ name: "OUT" data_type: TYPE_FP32 dims: [-1] }]
"""


@pytest.fixture(autouse=True)
def without_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are published to a real Envoy in tests/integration; here nobody listens."""
    monkeypatch.setattr(publishing, "publish_now", lambda: None)
    monkeypatch.setattr(delivery, "carry_out", lambda rows: Delivery())
    monkeypatch.setattr(delivery, "states", lambda rows: {row.pk: Delivery() for row in rows})
    monkeypatch.setattr(Triton, "missing", lambda self, runtime: "")


@pytest.fixture
def models(dataset_root: Path, tmp_path: Path) -> Path:
    """The directory of a dataset: a model that can be served, one with a broken config and one without its file."""
    root = dataset_root / tmp_path.name
    for name, config in {"echo": CONFIG, "broken": "backend: python [", "missing": CONFIG}.items():
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(config)
        if name != "missing":
            (root / name / "1" / "model.py").write_text("class TritonPythonModel:\n    pass\n")
    return root


@pytest.fixture
def dataset(team: Team, alice: User, models: Path) -> Dataset:
    owner = for_user(alice)
    new_dataset = datasets.create(team=team, name="models", kind="local", options={"path": str(models)}, actor=owner)
    return trust.trust(new_dataset, actor=owner)


@pytest.fixture
def queue(db: None) -> Queue:
    return Queue.objects.create(name="default", cpu=4, memory_gib=8)


@pytest.fixture
def payload(dataset: Dataset, queue: Queue) -> dict[str, Any]:
    return {"name": "echo", "framework": "triton", "dataset": "models", "model_path": "echo"}


@pytest.fixture
def service(team: Team, alice: User, payload: dict[str, Any]) -> Service:
    return verbs.create(payload, team=team, actor=for_user(alice))


@pytest.fixture
def people(alice: User, bob: User, charlie: User) -> dict[str, Api]:
    return {"nobody": Api(), "stranger": Api(charlie), "teammate": Api(bob), "owner": Api(alice)}


@pytest.fixture
def owner(alice: User) -> Api:
    return Api(alice)


@pytest.fixture
def key_for(team: Team, alice: User, admin: User) -> Callable[..., tuple[Api, ApiKey]]:
    """A key of team vision, and a client that uses it."""

    def make(*scopes: str, **more: Any) -> tuple[Api, ApiKey]:
        actor = for_user(admin if more.get("all_teams") else alice)
        new_key = keys.create(team=team, name="ci", scopes=scopes, actor=actor, **more)
        return Api(key=new_key.key), new_key.row

    return make
