"""The real Triton is asked about rules in tests/datasets/inspect/config_pbtxt: what it refuses, we refuse."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.frameworks.triton import runtime
from services.frameworks.triton.launch import environment, listeners
from services.specs import Launch, Ports
from tests.datasets.inspect.config_pbtxt.rules import RULES, STATES, Rule
from tests.servers.triton import RunningTriton, context_for, runtime_root, spawn, start_triton, stop

pytestmark = pytest.mark.integration

MODEL = """
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", one.inputs()[0].as_numpy())]) for one in requests]
"""
ALONE = tuple(rule for rule in (*RULES, *STATES) if rule.name.startswith(("warmup", "first")) and rule.refused)
"""What fails after the instances have started can end this Triton: each gets a server of its own."""
CASES = tuple(rule for rule in (*RULES, *STATES) if rule not in ALONE)
PARTS = 5
UNLOAD_SECONDS = 60


def write(folder: Path, rule: Rule) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(MODEL)
    (folder / "config.pbtxt").write_text(f'backend: "python" {rule.config}')
    for name, content in rule.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def launch(run_dir: Path, *options: str) -> tuple[Launch, Ports]:
    located = runtime.locate(runtime_root())
    context = context_for("rules", run_dir, run_dir, located.root)
    argv = (
        str(located.server),
        f"--model-repository={run_dir / 'repository'}",
        f"--backend-directory={located.backends}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--pinned-memory-pool-byte-size=0",
        *listeners(context.ports),
        *options,
    )
    start = Launch(argv=argv, env=environment(context, located), files={"tmp/.keep": b""}, links={})
    return start, context.ports


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    """Loads nothing by itself, and what it is asked to."""
    run_dir = tmp_path_factory.mktemp("rules")
    for rule in CASES:
        write(run_dir / "repository" / rule.name, rule)
    process, ports = launch(run_dir)
    with start_triton(process, run_dir, ports, "rules") as running:
        yield running


def call(triton: RunningTriton, path: str) -> Any:
    """The answer, or the error as text."""
    request = urllib.request.Request(f"http://{triton.http}/v2/repository/{path}", data=b"{}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "{}")
    except urllib.error.HTTPError as error:
        return str(json.load(error)["error"])


def verdict(triton: RunningTriton, name: str) -> str:
    """The error, "" without one. Waits until the model is gone again: a load beside an unload can end this Triton."""
    answer = call(triton, f"models/{name}/load")
    if isinstance(answer, str):
        return answer
    call(triton, f"models/{name}/unload")
    deadline = time.monotonic() + UNLOAD_SECONDS
    while any(one["name"] == name and one.get("reason") != "unloaded" for one in call(triton, "index")):
        assert time.monotonic() < deadline, f"{name} was not unloaded"
        time.sleep(0.05)
    return ""


@pytest.mark.parametrize("part", range(PARTS))
def test_triton_itself_refuses_what_is_refused_and_nothing_else(triton: RunningTriton, part: int) -> None:
    cases = CASES[part::PARTS]
    errors = [verdict(triton, rule.name) for rule in cases]
    wrong = {
        rule.name: error or "loaded"
        for rule, error in zip(cases, errors, strict=True)
        if bool(error) != (rule.refused and not rule.only_ours)
    }
    assert wrong == {}


@pytest.mark.parametrize("rule", ALONE, ids=lambda rule: rule.name)
def test_triton_does_not_start_with_data_that_do_not_fit(rule: Rule, tmp_path: Path) -> None:
    write(tmp_path / "repository" / rule.name, rule)
    process, ports = launch(tmp_path, f"--load-model={rule.name}", "--exit-on-error=true")
    triton = spawn(process, tmp_path, ports, "rules")
    try:
        assert triton.wait_until_ended() != 0
        assert f"successfully loaded '{rule.name}'" not in triton.log
    finally:
        stop(triton)
