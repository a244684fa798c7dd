"""What is said of ensembles before a start, held against the real Triton, which is asked to load each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.triton import ensembles
from services.clients.probes import kserve_v2
from tests.datasets.inspect.triton.test_ensembles import BAD, GOOD
from tests.repositories import python_model, write
from tests.servers.triton import OpenTriton, open_triton

pytestmark = pytest.mark.integration
CASES = {
    **{name: (flow, models) for name, (flow, models) in GOOD.items()},
    **{name: (flow, models) for name, (flow, models, _) in BAD.items()},
}
HANGS = "an input that is written"
"""Triton takes it, and answers no request."""
COMPLETES = """class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        if not config.as_dict()["input"]:
            config.add_input({"name": "x", "data_type": "TYPE_FP32", "dims": [-1]})
            config.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [-1]})
        return config

    def execute(self, requests):
        return []
"""


def folders(number: int, case: str) -> dict[str, str | bytes]:
    """The models of a case, each name with the number of the case before it."""
    flow, models = CASES[case]
    files: dict[str, str | bytes] = {}
    for name, text in {"flow": flow, **models}.items():
        config = pbtxt.parse(text)
        for step in config.ensemble_scheduling.step:
            step.model_name = f"{number}-{step.model_name}"
        if ensembles.is_ensemble(config):
            files |= {f"{number}-{name}/config.pbtxt": str(config), f"{number}-{name}/1/": ""}
        else:
            files |= python_model(f"{number}-{name}", str(config), COMPLETES)
    return files


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenTriton]:
    """With a repository of all cases, and none loaded. It is not `ready` after a refusal: no server for others."""
    with open_triton(tmp_path_factory.mktemp("rules")) as running:
        for number, case in enumerate(CASES):
            write(running.repository, folders(number, case))
        yield running


@pytest.mark.parametrize("case", CASES)
def test_triton_says_the_same(triton: OpenTriton, case: str) -> None:
    name = f"{list(CASES).index(case)}-flow"
    if error := triton.load(name):
        assert case in BAD, error
    else:
        assert case in GOOD or case == HANGS
        assert case == HANGS or kserve_v2.get(triton.listeners.http, f"/v2/models/{name}/ready", 2.0)[0] == 200
