"""What is said of each model of the corpus before anything starts: by the REST API, in the form and in the report."""

from __future__ import annotations

import html

import pytest

from services.actions import checks
from tests.corpus.all import CASES
from tests.corpus.case import Case
from tests.integration.corpus.world import DATASET, World
from tests.servers import vllm

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.xdist_group("corpus")]


@pytest.fixture(autouse=True)
def runtime(request: pytest.FixtureRequest) -> None:
    """Skips a case of vLLM where that is not installed: no service of it is made then."""
    if request.getfixturevalue("model").framework == "vllm":
        vllm.runtime_root()


each_case = pytest.mark.parametrize("model", CASES, ids=lambda case: case.name)


@each_case
def test_a_service_is_made_or_refused_with_the_reason(world: World, model: Case) -> None:
    answer = world.create(model, "before")
    if model.refused:
        assert (answer.status_code, answer.json()["errors"]) == (400, {"model_path": list(model.refused)})
    else:
        assert answer.status_code == 201, answer.json()


@each_case
def test_the_report_agrees(world: World, model: Case) -> None:
    answer = world.browser.get(f"/api/v1/datasets/{DATASET}/report/", {"path": model.model_path}).json()
    assert bool(answer["report"]["problems"]) == bool(model.refused and model.in_report), answer["report"]


@each_case
def test_the_form_says_the_same(world: World, model: Case) -> None:
    query = {"dataset": DATASET, "path": model.model_path, "framework": model.framework}
    query["framework_config.model"] = model.config.get("model", "")
    page = html.unescape(world.browser.get("/services/new/browse/", query).content.decode())
    for sentence in (*model.refused, *model.notes) if not model.config else ():
        assert sentence in page


@each_case
def test_inputs_and_notes_are_read_from_the_files(world: World, model: Case) -> None:
    description = checks.describe(world.dataset, model.model_path, model.framework, dict(model.config))
    assert description is not None
    assert list(description.problems) == list(model.refused)
    assert list(description.notes) == list(model.notes)
    if model.inputs is not None:
        tensors = [f"{tensor.name} {tensor.datatype} {list(tensor.shape)}" for tensor in description.inputs]
        assert tensors == list(model.inputs)
