"""What is said of each model of the corpus before anything starts; of some, by the REST API and in the form too."""

from __future__ import annotations

import html

import pytest

from datasets.queries import reports
from services.actions import checks
from tests.corpus.all import CASES
from tests.corpus.case import Case
from tests.integration.corpus.world import DATASET, World
from tests.servers import vllm

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.xdist_group("corpus")]
SHOWN = (
    "plain",
    "options",
    "state-in-python",
    "config-unknown-field",
    "pytorch",
    "ensemble-circle",
    "hf-plain",
    "hf-missing-shard",
    "hf-own-code",
)
"""With and without problems and notes, of one sentence and of several, of the files and of what the service asks."""


@pytest.fixture(autouse=True)
def runtime(model: Case) -> None:
    """Skips a case of vLLM where that is not installed: no service of it is made then."""
    if model.framework == "vllm":
        vllm.runtime_root()


def cases(names: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    chosen = [case for case in CASES if case.name in names or not names]
    return pytest.mark.parametrize("model", chosen, ids=lambda case: case.name)


@cases()
def test_the_files_say_what_is_wrong_what_is_noted_and_what_goes_in(world: World, model: Case) -> None:
    description = checks.describe(world.dataset, model.model_path, model.framework, dict(model.config))
    assert description is not None
    assert list(description.problems) == list(model.refused)
    assert list(description.notes) == list(model.notes)
    if model.inputs is not None:
        tensors = [f"{tensor.name} {tensor.datatype} {list(tensor.shape)}" for tensor in description.inputs]
        assert tensors == list(model.inputs)
    report = reports.read(world.dataset, model.model_path).report
    assert report is not None
    assert bool(report.problems) == bool(model.refused and model.in_report), report


@cases(SHOWN)
def test_a_service_is_made_or_refused_with_the_reason(world: World, model: Case) -> None:
    answer = world.create(model, "before")
    if model.refused:
        assert (answer.status_code, answer.json()["errors"]) == (400, {"model_path": list(model.refused)})
    else:
        assert answer.status_code == 201, answer.json()


@cases(SHOWN)
def test_report_and_form_say_the_same(world: World, model: Case) -> None:
    answer = world.browser.get(f"/api/v1/datasets/{DATASET}/report/", {"path": model.model_path}).json()
    assert bool(answer["report"]["problems"]) == bool(model.refused and model.in_report), answer["report"]
    query = {"dataset": DATASET, "path": model.model_path, "framework": model.framework}
    page = html.unescape(world.browser.get("/services/new/browse/", query).content.decode())
    for sentence in (*model.refused, *model.notes) if not model.config else ():
        assert sentence in page
