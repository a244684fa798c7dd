"""Whether a Triton replica still computes, asked of the real one: models that answer, stream, hang."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from services.errors import ProbeError
from services.frameworks import registry
from services.specs import Tensor
from tests.integration.engine_home import wait_for
from tests.servers.triton import RunningTriton, serve_several

pytestmark = pytest.mark.integration
TRITON = registry.get("triton")
HANGS = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        time.sleep(3600)
"""
CONFIG = """
backend: "python"
max_batch_size: 0
input { name: "IN" data_type: TYPE_STRING dims: [ -1, 2 ] }
output { name: "OUT" data_type: TYPE_STRING dims: [ -1 ] }
%s
"""


def first_progress(triton: RunningTriton) -> float:
    """Triton opens its metrics a moment after it is ready."""

    def look() -> float | None:
        with suppress(ProbeError):
            return TRITON.progress(triton.listeners, 5)
        return None

    return float(wait_for(look, lambda seen: seen is not None))


def test_models_that_answer_are_alive_and_get_on(samples: Path, tmp_path: Path) -> None:
    """`repeat` is decoupled, and answers zeros with no response at all."""
    names = ("mnist-svm", "echo", "repeat")
    with serve_several({name: samples / name for name in names}, tmp_path / "run") as triton:
        for name in names:
            before = first_progress(triton)
            assert TRITON.answers(triton.listeners, name, 20)
            # Triton counts just after it has answered.
            wait_for(lambda before=before: TRITON.progress(triton.listeners, 5) > before, bool)  # type: ignore[misc]
            assert TRITON.answers(triton.listeners, name, 20)


def test_a_model_that_hangs_is_ready_and_not_alive(tmp_path: Path) -> None:
    policies = {"unary": "", "decoupled": "model_transaction_policy { decoupled: true }"}
    for name, policy in policies.items():
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(CONFIG % policy)
        (tmp_path / name / "1" / "model.py").write_text(HANGS)
    with serve_several({name: tmp_path / name for name in policies}, tmp_path / "run") as triton:
        for name in policies:
            assert TRITON.probe(triton.listeners, name, 5).ready
            before = first_progress(triton)
            assert not TRITON.answers(triton.listeners, name, 1)
            assert TRITON.probe(triton.listeners, name, 5).ready
            assert TRITON.progress(triton.listeners, 5) == before


def test_zeros_fit_every_datatype() -> None:
    from services.clients.probes import triton_alive

    tensors = (Tensor("a", "BYTES", (-1, 3)), Tensor("b", "BF16", (2,)), Tensor("c", "BOOL", ()))
    _, body, headers = triton_alive.request("m", tensors)
    assert len(body) - int(headers["Inference-Header-Content-Length"]) == 12 + 4 + 1
