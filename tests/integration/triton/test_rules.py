"""The real Triton is asked about rules in tests/datasets/inspect/config_pbtxt: what it refuses, we refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.datasets.inspect.config_pbtxt.rules import RULES, STATES, Rule
from tests.servers.triton import OpenTriton, open_launch, open_triton

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
AS_WRITTEN = ("--disable-auto-complete-config",)


def write(folder: Path, rule: Rule) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(MODEL)
    (folder / "config.pbtxt").write_text(f'backend: "python" {rule.config}')
    for name, content in rule.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenTriton]:
    with open_triton(tmp_path_factory.mktemp("rules"), *AS_WRITTEN) as running:
        for rule in CASES:
            write(running.repository / rule.name, rule)
        yield running


def verdict(triton: OpenTriton, name: str) -> str:
    """The error, "" without one."""
    error = triton.load(name)
    if not error:
        triton.unload(name)
    return error


@pytest.mark.parametrize("part", range(PARTS))
def test_triton_itself_refuses_what_is_refused_and_nothing_else(triton: OpenTriton, part: int) -> None:
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
    launch, listeners = open_launch(tmp_path, *AS_WRITTEN, f"--load-model={rule.name}")
    triton = OpenTriton.spawn(launch, tmp_path, listeners)
    try:
        assert triton.wait_until_ended() != 0
        assert f"successfully loaded '{rule.name}'" not in triton.log
    finally:
        triton.kill()
