"""The real Triton is asked about each configuration of tests/datasets/inspect/rules.py: what it refuses, we refuse."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from services.frameworks.triton import runtime
from services.frameworks.triton.launch import environment, listeners
from services.specs import Launch
from tests.datasets.inspect.rules import RULES, STATES
from tests.triton import RunningTriton, context_for, runtime_root, start_triton

pytestmark = pytest.mark.integration

MODEL = """
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", one.inputs()[0].as_numpy())]) for one in requests]
"""
CASES = (*RULES, *STATES)
PARTS = 5


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """Loads nothing by itself, and what it is asked to."""
    run_dir = tmp_path_factory.mktemp("rules")
    for rule in CASES:
        folder = run_dir / "repository" / rule.name
        (folder / "1").mkdir(parents=True)
        (folder / "1" / "model.py").write_text(MODEL)
        (folder / "config.pbtxt").write_text(f'backend: "python" {rule.config}')
        for name, content in rule.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
    located = runtime.locate(runtime_root())
    context = context_for("rules", run_dir, run_dir, located.root)
    argv = (
        str(located.server), f"--model-repository={run_dir / 'repository'}", f"--backend-directory={located.backends}",
        "--model-control-mode=explicit", "--disable-auto-complete-config", "--pinned-memory-pool-byte-size=0",
        *listeners(context.ports),
    )  # fmt: skip
    launch = Launch(argv=argv, env=environment(context, located), files={"tmp/.keep": b""}, links={})
    with start_triton(launch, run_dir, context.ports, "rules") as running:
        yield running


def call(triton: RunningTriton, path: str) -> str:
    """The error, "" without one."""
    request = urllib.request.Request(f"http://{triton.http}/v2/repository/models/{path}", data=b"{}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60):
            return ""
    except urllib.error.HTTPError as error:
        return str(json.load(error)["error"])


def verdict(triton: RunningTriton, name: str) -> str:
    if not (error := call(triton, f"{name}/load")):
        call(triton, f"{name}/unload")
    return error


@pytest.mark.parametrize("part", range(PARTS))
def test_triton_itself_refuses_what_is_refused_and_nothing_else(triton: RunningTriton, part: int) -> None:
    cases = CASES[part::PARTS]
    errors = [verdict(triton, rule.name) for rule in cases]  # one at a time: two loads at once end this Triton
    wrong = {
        rule.name: error or "loaded"
        for rule, error in zip(cases, errors, strict=True)
        if bool(error) != (rule.refused and not rule.only_ours)
    }
    assert wrong == {}
