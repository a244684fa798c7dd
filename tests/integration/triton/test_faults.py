"""Triton when things go wrong: taken ports, kill -9, two replicas side by side."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from services.clients.probes import kserve_v2
from services.frameworks.registry import get
from services.frameworks.triton import runtime
from services.frameworks.triton.launch import render, shm_family
from services.listeners import Address
from tests.integration.engine_home import child_named, gone, wait_for
from tests.servers.replica import free_listeners
from tests.servers.triton import RunningTriton, context_for, grpc_input, runtime_root, serve

pytestmark = pytest.mark.integration

CONFIG = """backend: "python"
input [ { name: "IN" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] } ]
"""
ECHO = """import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(r, "IN").as_numpy())])
            for r in requests
        ]
"""


def model(tree: Path) -> Path:
    (tree / "1").mkdir(parents=True)
    (tree / "config.pbtxt").write_text(CONFIG)
    (tree / "1" / "model.py").write_text(ECHO)
    return tree


def echoes(triton: RunningTriton) -> bool:
    values = np.array([1, 2], dtype=np.float32)
    with grpcclient.InferenceServerClient(triton.grpc) as client:
        return bool(np.array_equal(client.infer(triton.service, [grpc_input("IN", values)]).as_numpy("OUT"), values))


def test_a_port_that_is_taken_ends_with_a_log_that_explains_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        listeners = replace(free_listeners(), grpc=Address(host="127.0.0.1", port=taken))
        context = context_for("taken", model(tmp_path / "tree"), tmp_path / "run", runtime_root(), listeners)
        triton = RunningTriton.spawn(render(context), context.run_dir, listeners)
        assert triton.wait_until_ended() != 0
    sentence = f"The GRPC port 127.0.0.1:{taken} is in use by another process."
    assert get("triton").explain(triton.log.splitlines()) == sentence


def test_of_two_replicas_side_by_side_a_killed_one_leaves_nothing_and_one_without_its_python_ends(
    tmp_path: Path,
) -> None:
    """Triton alone would stay ready without its Python process, and fail every request."""
    tree, replicas = model(tmp_path / "tree"), tmp_path / "replicas"
    first, second = (context_for("echo", tree, replicas / f"svc-echo-r1-{index}", runtime_root()) for index in (0, 1))
    with serve(second) as survivor:
        with serve(first) as killed:
            assert echoes(killed)
            assert echoes(survivor)
            stub = child_named(killed.process.pid, "stub")
            os.kill(killed.process.pid, signal.SIGKILL)
            killed.process.wait()
            wait_for(lambda: gone(stub.pid), bool)  # no Python stub outlives its server
            assert echoes(survivor)
            assert not kserve_v2.probe(first.listeners.http, "echo").ready
        left = Path("/dev/shm") / f"{shm_family(first.run_dir)}_{killed.process.pid}_left-behind"
        left.write_text("")
        with serve(first) as again:
            assert echoes(again), "it comes back in the same working directory and on the same ports"
            assert not left.exists(), "what a dead replica left is freed by the next start"
            assert echoes(survivor)
            assert again.end() == 0
        regions = Path("/dev/shm").glob(f"{shm_family(first.run_dir)}_*")
        assert {path.name.split("_")[2] for path in regions} == {str(survivor.process.pid)}, "an orderly end frees all"

        child_named(survivor.process.pid, "stub").kill()
        assert survivor.wait_until_ended(15) == -signal.SIGKILL
        assert get("triton").explain(survivor.log.splitlines()) == (
            "A Python process of the model ended while it was serving: it crashed or ran out of memory."
        )


def linked_runtime(root: Path) -> Path:
    """The real environment by links, so that no other test sees it change."""
    root.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (root / name).symlink_to(runtime_root() / name)
    return root


def test_a_runtime_is_prepared_once_and_again_when_it_changed(tmp_path: Path) -> None:
    root = linked_runtime(tmp_path / "triton")
    assert get("triton").missing(root) == "The Triton runtime is not complete; run `make runtime-triton`."
    assert runtime.prepare(root)
    assert not runtime.prepare(root)
    assert not get("triton").missing(root)
    assert sorted(path.name for path in (root / "backends").iterdir()) == [".prepared", "onnxruntime", "python"]
    shutil.rmtree(root / "backends" / "onnxruntime")
    (root / "backends" / ".prepared").write_text("of an older release")
    assert runtime.prepare(root)
    assert (root / "backends" / "onnxruntime" / "model.py").is_file()
    assert not list(root.glob(".backends-*")), "no half-made folder stays"


def test_a_runtime_that_several_prepare_at_once_is_prepared_by_one(tmp_path: Path) -> None:
    root = linked_runtime(tmp_path / "triton")
    script = Path(runtime.__file__)
    command = [sys.executable, "-P", script, root]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    first_words = sorted(process.communicate(timeout=60)[0].split(":")[0] for process in several)
    assert first_words == ["prepared", "up to date", "up to date", "up to date"]
