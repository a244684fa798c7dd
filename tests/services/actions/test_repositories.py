"""A folder of several models as a service: made, refused, trusted and shown as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console.accounts.principal import Principal
from console.errors import InvalidFields
from console.models import Team
from datasets.actions import trust
from datasets.models import Dataset
from services import states
from services.actions import services as verbs
from tests import repositories
from tests.repositories import chain, onnx_model, python_model, write
from tests.services.world import World

ONNX = repositories.config("onnxruntime")


@pytest.fixture
def flow(dataset: Dataset, payload: dict[str, Any]) -> dict[str, Any]:
    """A service on ONNX -> Python."""
    files = {**onnx_model("neg", ONNX), **python_model("add"), "flow/config.pbtxt": chain("neg", "add"), "flow/1/": ""}
    write(folder(dataset), {**files, "shared/words.txt": "a"})
    return {**payload, "name": "texts", "model_path": "several"}


def folder(dataset: Dataset) -> Path:
    return Path(dataset.options["path"]) / "several"


def refused(payload: dict[str, Any], team: Team, actor: Principal) -> list[str]:
    with pytest.raises(InvalidFields) as caught:
        verbs.create(payload, team=team, actor=actor)
    return caught.value.errors["model_path"]


def test_it_is_ready_and_says_of_which_models_it_consists(
    world: World,
    flow: dict[str, Any],
    team: Team,
    actor: Principal,
    alice: User,
    client_of: Callable[[User | None], Client],
) -> None:
    service = verbs.create(flow, team=team, actor=actor)
    browser = client_of(alice)
    assert browser.get(f"/api/v1/services/{service.name}/").json()["models"] == []
    service = world.converge(service)
    assert service.state == states.READY, service.message
    assert browser.get(f"/api/v1/services/{service.name}/").json()["models"] == [
        {"name": "flow", "backend": "ensemble", "role": "main"},
        {"name": "neg", "backend": "onnxruntime", "role": "step"},
        {"name": "add", "backend": "python", "role": "step"},
    ]
    page = browser.get(f"/services/{service.name}/").content.decode()
    assert "Consists of" in page and "<code>neg</code> onnxruntime" in page
    assert "not to be called from outside" in page


def test_a_name_that_one_of_its_models_has_is_refused(
    world: World, flow: dict[str, Any], team: Team, actor: Principal
) -> None:
    [message] = refused({**flow, "name": "add"}, team, actor)
    assert message.startswith("The model add is loaded under its own name, which is that of the service")
    assert verbs.create({**flow, "name": "flow"}, team=team, actor=actor).state == states.PREHEATING


def test_code_in_any_of_its_models_needs_trust(
    world: World, flow: dict[str, Any], team: Team, actor: Principal, dataset: Dataset
) -> None:
    trust.withdraw(dataset, actor=actor)
    [message] = refused(flow, team, actor)
    assert "add/1/model.py: A Python program" in message and "dataset models is not trusted" in message
    chosen = {**flow, "name": "alone", "framework_config": {"model": "neg"}}
    assert verbs.create(chosen, team=team, actor=actor).state == states.PREHEATING, "nothing of it is code"


@pytest.mark.parametrize("changed", ["add/1/model.py", "shared/words.py", "neg/1/words.py"])
def test_code_that_came_after_trust_was_given_is_refused_wherever_it_lies(
    world: World, flow: dict[str, Any], team: Team, actor: Principal, dataset: Dataset, changed: str
) -> None:
    service = world.converge(verbs.create(flow, team=team, actor=actor))
    write(folder(dataset), {changed: "import os"})
    service = world.converge(verbs.restart(service, actor=actor))
    newest = service.revisions.order_by("-number").first()
    assert newest is not None and f"several/{changed} was changed or added after trust" in str(newest.failed)
    assert list(world.engine.running) == ["svc-texts-r1-0"]


def test_another_model_is_chosen_by_an_edit_and_rolls_out(
    world: World, flow: dict[str, Any], team: Team, actor: Principal
) -> None:
    service = world.converge(verbs.create(flow, team=team, actor=actor))
    with pytest.raises(InvalidFields, match="There is no model gone here"):
        verbs.edit(service, {"framework_config": {"model": "gone"}}, actor=actor)
    service = world.converge(verbs.edit(service, {"framework_config": {"model": "add"}}, actor=actor))
    assert service.serving is not None and service.serving.described is not None
    assert service.serving.described["models"][0] == {"name": "add", "backend": "python", "role": "main"}
