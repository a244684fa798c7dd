"""Several models on the real Triton, as one replica: when it is ready, when it lives, and when it has to end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as httpclient

from services.clients.probes import kserve_v2, triton_alive
from services.frameworks.triton.framework import Triton
from services.frameworks.triton.launch import render
from tests.corpus.folders import HEAD
from tests.corpus.repositories import ASK, COUNTS, STREAMING
from tests.repositories import chain, config, onnx_model, python_model, write
from tests.servers.gateway.rig import until
from tests.servers.triton import OpenTriton, RunningTriton, context_for, runtime_root

pytestmark = pytest.mark.integration
WAITS = (
    HEAD
    + """import os
import time


class TritonPythonModel:
    # Is loaded once the file is there that MODEL_GATE names.
    def initialize(self, args):
        while not os.path.exists(os.environ["MODEL_GATE"]):
            time.sleep(0.02)

    def execute(self, requests):
        os._exit(1)
"""
)
FAILS = "class TritonPythonModel:\n    def execute(self, requests):\n        raise ValueError('always')\n"
REPEATS = (
    HEAD
    + ASK
    + """import os


class TritonPythonModel:
    # Calls another model again and again until a file is there.
    def execute(self, requests):
        [request] = requests
        x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        while not os.path.exists(MODEL_GATE):
            value(ask("add", x).exec())
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)])]
"""
)


def infer(triton: RunningTriton, name: str = "IN") -> Any:
    with httpclient.InferenceServerClient(triton.http, network_timeout=60) as client:
        values = httpclient.InferInput(name, [2], "FP32")
        values.set_data_from_numpy(np.ones(2, np.float32))
        return client.infer(triton.service, [values])


def test_a_replica_is_ready_when_all_its_models_are_and_ends_when_one_does(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    files = {**python_model("slow", program=WAITS), **onnx_model("neg", config("onnxruntime"))}
    tree = write(tmp_path / "tree", {**files, "flow/config.pbtxt": chain("neg", "slow")})
    context = context_for("svc", tree, tmp_path / "run", runtime_root(), env={"MODEL_GATE": str(gate)})
    triton = RunningTriton.spawn(render(context), context.run_dir, context.listeners, "svc")

    def probe() -> kserve_v2.ProbeResult:
        return Triton().probe(context.listeners, "svc", 2.0)

    try:
        until(lambda: "successfully loaded 'neg'" in triton.log, 60)
        assert not probe().ready
        gate.touch()
        until(lambda: probe().ready, 60)
        with pytest.raises(Exception, match=r"(?i)stub|unhealthy|closed|reset|refused"):
            infer(triton)  # it ends the process of the step
        assert triton.wait_until_ended() != 0
        assert "console: a Python process of the model has ended" in triton.log
    finally:
        triton.kill()


@pytest.mark.parametrize(
    "step",
    [
        python_model("python"),
        onnx_model("onnx"),
        python_model("decoupled", config(more=STREAMING), COUNTS),
        python_model("failing", program=FAILS),
    ],
    ids=lambda step: next(iter(step)).partition("/")[0],
)
def test_an_ensemble_shows_that_it_lives(opened: OpenTriton, tmp_path: Path, step: dict[str, str | bytes]) -> None:
    name = next(iter(step)).partition("/")[0]
    tree = write(tmp_path / "tree", {**step, "flow/config.pbtxt": chain(name)})
    with opened.serve(f"{name}-flow", tree) as triton:
        for _ in range(5):  # and nothing of it stays under way: else no model of the ensemble is unloaded
            assert triton_alive.answers(triton.listeners, triton.service, 20)


def test_what_a_model_calls_counts_as_progress_of_the_request(opened: OpenTriton, tmp_path: Path) -> None:
    """Else a request that takes long would look stuck, however much is computed for it."""
    gate = tmp_path / "gate"
    program = REPEATS.replace("MODEL_GATE", repr(str(gate)))
    tree = write(tmp_path / "tree", {**python_model("loop", program=program), **python_model("add")})
    progress: Callable[[], float] = lambda: Triton().progress(opened.listeners, 5.0)  # noqa: E731
    with opened.serve("calls", tree, model="loop") as triton, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(infer, triton, "x")
        try:
            before = until(progress, 30)
            until(lambda: progress() > before, 30)
            assert not answer.done()
        finally:
            gate.touch()
        assert answer.result(30).as_numpy("y").tolist() == [1, 1]
