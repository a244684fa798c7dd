"""A model with sequences: what the gateway is told, and that a change of the replicas starts all of them anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from console.accounts.principal import Principal
from datasets.models import Dataset
from services import states
from services.actions import services as verbs
from services.control import publishing, reconcile
from services.frameworks.triton.framework import Triton
from services.models import Replica, Revision, Service
from services.specs import ModelDescription
from tests.services.conftest import CONFIG
from tests.services.world import World

Make = Callable[..., Service]
SEQUENCES = """sequence_batching { oldest { max_candidate_sequences: 4 } }
"""


@pytest.fixture
def stateful(dataset: Dataset, ready: Make) -> Make:
    config = Path(dataset.options["path"]) / "echo" / "config.pbtxt"
    config.write_text(CONFIG.replace("max_batch_size: 0", "max_batch_size: 4") + SEQUENCES)
    return ready


def test_the_gateway_is_told_of_sequences_and_of_which_replica_is_which(stateful: Make) -> None:
    stateful(replicas=2)
    (gateway_service,) = publishing.snapshot().services
    assert gateway_service.sequences and [endpoint.index for endpoint in gateway_service.endpoints] == [0, 1]


def test_other_services_have_none(ready: Make) -> None:
    ready(replicas=2)
    (gateway_service,) = publishing.snapshot().services
    assert not gateway_service.sequences and [endpoint.index for endpoint in gateway_service.endpoints] == [0, 0]


def test_a_replica_that_is_away_keeps_its_place(stateful: Make) -> None:
    stateful(replicas=2)
    Replica.objects.filter(index=0).update(started_at=None, state=Replica.UNREADY)
    (gateway_service,) = publishing.snapshot().services
    assert [endpoint.index for endpoint in gateway_service.endpoints] == [0, 1]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_scaling_starts_every_replica_anew(
    stateful: Make, world: World, actor: Principal, before: int, after: int
) -> None:
    service = stateful(replicas=before)
    verbs.scale(service, after, actor=actor)
    service = world.converge(service)
    assert (service.state, service.serving and service.serving.number) == (states.READY, 2)
    assert list(world.engine.running) == [f"svc-echo-r2-{index}" for index in range(after)]
    assert "with sequences" in Revision.objects.get(number=2).note


def test_a_scaling_that_fails_is_not_tried_for_ever(stateful: Make, world: World, actor: Principal) -> None:
    service = stateful()
    verbs.scale(service, 2, actor=actor)
    service = world.settle(service)
    Revision.objects.filter(number=2).update(spec={**service.serving.spec, "model_path": "gone"}, tree="", location="")
    service = world.converge(service)
    assert (service.replicas, service.serving.number, Revision.objects.count()) == (1, 1, 2)
    assert Revision.objects.get(number=2).failed


def test_a_revision_of_an_earlier_release_is_looked_at_again(stateful: Make) -> None:
    service = stateful()
    Revision.objects.update(described={"task": "", "max_model_len": None})
    assert not publishing.snapshot().services[0].sequences
    reconcile.reconcile(service.pk)
    assert publishing.snapshot().services[0].sequences


def test_files_that_cannot_be_served_are_asked_once(stateful: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later release may find fault with files that have served since an earlier one."""
    service, looks = stateful(), []

    def describe(self: Triton, tree: Path, config: object, service: str) -> ModelDescription:
        looks.append(tree)
        return ModelDescription(problems=("They are broken.",))

    Revision.objects.update(described={"task": "", "max_model_len": None})
    monkeypatch.setattr(Triton, "describe", describe)
    for _ in range(3):
        reconcile.reconcile(service.pk)
    assert len(looks) == 1
