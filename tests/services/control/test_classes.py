"""Which outputs may be classified: read with the files of a revision, and told to the gateway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from console.accounts.principal import Principal
from datasets.models import Dataset
from services.actions import services as verbs
from services.control import publishing, reconcile
from services.frameworks.triton.framework import Triton
from services.models import Revision, Service
from services.specs import ModelDescription
from tests.services.conftest import CONFIG
from tests.services.world import World

Make = Callable[..., Service]


@pytest.fixture
def classified(dataset: Dataset, ready: Make) -> Make:
    config = Path(dataset.options["path"]) / "echo" / "config.pbtxt"
    config.write_text(CONFIG.replace("-1", "3"))
    return ready


def published_classes() -> tuple[str, ...]:
    (service,) = publishing.snapshot().services
    return service.classes


def test_the_gateway_is_told_of_outputs_that_can_be_classified(classified: Make) -> None:
    classified()
    assert published_classes() == ("OUT",)


def test_an_output_of_any_size_is_none_of_them(ready: Make) -> None:
    ready()
    assert published_classes() == ()


def test_an_edit_of_the_outputs_counts_once_it_serves(classified: Make, world: World, actor: Principal) -> None:
    service = classified()
    outputs = {"outputs": [{"name": "OUT", "datatype": "FP32", "shape": [-1]}]}
    verbs.edit(service, {"framework_config": outputs}, actor=actor)
    assert published_classes() == ("OUT",)
    world.converge(service)
    assert published_classes() == ()


def test_a_revision_of_an_earlier_release_has_none_until_it_is_looked_at_again(classified: Make) -> None:
    service = classified()
    Revision.objects.update(described={"task": "", "max_model_len": None, "sequences": False, "models": []})
    assert published_classes() == ()
    reconcile.reconcile(service.pk)
    assert published_classes() == ("OUT",)


def test_files_that_cannot_be_served_any_more_have_none(classified: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    service = classified()
    Revision.objects.update(described={"task": "", "max_model_len": None})

    def describe(self: Triton, tree: Path, config: object, service: str) -> ModelDescription:
        return ModelDescription(problems=("They are broken.",))

    monkeypatch.setattr(Triton, "describe", describe)
    reconcile.reconcile(service.pk)
    assert published_classes() == ()
