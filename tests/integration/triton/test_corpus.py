"""Models of the corpus that callers cannot tell from another one, which goes through the whole product (see
tests/integration/corpus): Triton loads what is rendered of them, and answers, or its log says why it does not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from services.frameworks.registry import get
from services.frameworks.triton.launch import render
from tests.corpus.all import CASES
from tests.corpus.case import Case
from tests.integration.corpus import calls
from tests.integration.corpus.server import Server
from tests.servers.triton import OpenTriton, RunningTriton, context_for, runtime_root

pytestmark = pytest.mark.integration
ALIKE = [case for case in CASES if case.like]


def test_the_other_one_is_served_or_fails_as_well() -> None:
    whole = {case.name: case for case in CASES if not case.like and not case.refused}
    assert all(bool(whole[case.like].fails) == bool(case.fails) for case in ALIKE)
    assert not any(case.refused or case.env for case in ALIKE)


@pytest.mark.parametrize("model", [case for case in ALIKE if case.served], ids=lambda case: case.name)
def test_it_answers(opened: OpenTriton, tmp_path: Path, model: Case) -> None:
    model.write(tmp_path / model.name)
    with opened.serve(model.name, tmp_path / model.name, **model.config) as triton:
        for request in model.requests:
            calls.send_grpc(Server(triton.http, triton.grpc), model, request)


@pytest.mark.parametrize("model", [case for case in ALIKE if case.fails], ids=lambda case: case.name)
def test_the_log_says_why_it_does_not_start(tmp_path: Path, model: Case) -> None:
    model.write(tmp_path / model.name)
    context = context_for(model.name, tmp_path / model.name, tmp_path / "run", runtime_root(), config=model.config)
    triton = RunningTriton.spawn(render(context), context.run_dir, context.listeners)
    try:
        assert triton.wait_until_ended() != 0
    finally:
        triton.kill()
    assert get("triton").explain(triton.log.splitlines()) == model.fails
