"""What is said of ensembles before a start, held against the real Triton, which is asked to load each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.triton import ensembles
from services.frameworks.triton.launch import render
from tests.datasets.inspect.triton.test_ensembles import BAD, GOOD
from tests.repositories import python_model, write
from tests.servers.triton import RunningTriton, context_for, runtime_root, start_triton

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
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """One server that loads what it is asked to, of a repository with all cases."""
    home = tmp_path_factory.mktemp("rules")
    for number, case in enumerate(CASES):
        write(home / "run" / "cases", folders(number, case))
    context = context_for("none", write(home / "tree", python_model("none")) / "none", home / "run", runtime_root())
    launch = render(context)
    changed = {
        f"--model-repository={home / 'run' / 'repository'}": f"--model-repository={home / 'run' / 'cases'}",
        "--model-control-mode=none": "--model-control-mode=explicit",
    }
    argv = tuple(changed.get(argument, argument) for argument in launch.argv[3:])
    with start_triton(replace(launch, argv=argv), context.run_dir, context.ports) as running:
        yield running


@pytest.mark.parametrize("case", CASES)
def test_triton_says_the_same(triton: RunningTriton, case: str) -> None:
    name = f"{list(CASES).index(case)}-flow"
    with httpclient.InferenceServerClient(triton.http, network_timeout=60) as client:
        try:
            client.load_model(name)
        except InferenceServerException as error:
            assert case in BAD, error
        else:
            assert case in GOOD or case == HANGS
            if case in GOOD:
                assert client.is_model_ready(name)
