"""How a replica is started: the value that an engine executes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from services.errors import ModelError
from services.frameworks.triton.framework import Triton
from services.frameworks.triton.launch import render, shm_family
from services.listeners import WORKING_DIRECTORY, Listeners
from services.specs import LaunchContext, Resources
from tests.servers.triton import context_for
from tests.services.frameworks.triton.onnx_files import write_digits

GOLDEN = Path(__file__).parent / "testdata" / "launch.json"


@pytest.fixture
def context(tmp_path: Path) -> LaunchContext:
    write_digits(tmp_path / "tree" / "1" / "model.onnx")
    (tmp_path / "tree" / "labels.txt").write_text("zero")
    (tmp_path / "runtime" / "backends" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "runtime" / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    context = context_for(
        "digits",
        tmp_path / "tree",
        Path("/run/replica"),
        tmp_path / "runtime",
        WORKING_DIRECTORY,
        env={"MODE": "fast", "OMP_NUM_THREADS": "4"},
    )
    return dataclasses.replace(context, models=Path("/models"))


def with_env(context: LaunchContext, **env: str) -> LaunchContext:
    return dataclasses.replace(context, spec=dataclasses.replace(context.spec, env=env))


def with_gpu(context: LaunchContext) -> LaunchContext:
    spec = dataclasses.replace(context.spec, resources=Resources(cpu=2.5, gpu=1))
    return dataclasses.replace(context, spec=spec, devices=("GPU-1",))


def test_a_launch_is_what_the_golden_file_says(context: LaunchContext, tmp_path: Path) -> None:
    """To rewrite the golden file: delete it, run this test, look at the diff."""
    launch = render(context)
    plain = {
        "argv": list(launch.argv),
        "env": dict(launch.env),
        "sockets": dict(launch.sockets),
        "links": {name: str(path) for name, path in launch.links.items()},
        "files": {name: data.decode().splitlines() for name, data in launch.files.items()},
    }
    text = json.dumps(plain, indent=2).replace(str(tmp_path), "/tmp/home")
    text = text.replace(shm_family(context.run_dir), "triton_family") + "\n"
    if not GOLDEN.exists():
        GOLDEN.write_text(text)
        pytest.fail("the golden file was missing and has been written")
    assert text == GOLDEN.read_text()


def test_rendering_writes_nothing_and_twice_gives_the_same(context: LaunchContext) -> None:
    assert render(context) == render(context)
    assert not context.run_dir.exists()


def test_every_door_is_where_the_engine_says_and_the_repository_is_closed(context: LaunchContext) -> None:
    on_ports = dataclasses.replace(context, listeners=Listeners.on_ports(8001, 8002, 8003, host="10.0.0.1"))
    argv = render(on_ports).argv
    assert [item for item in argv if "-address=" in item or "-port=" in item] == [
        "--http-address=10.0.0.1",
        "--http-port=8001",
        "--grpc-address=10.0.0.1",
        "--grpc-port=8002",
        "--metrics-address=10.0.0.1",
        "--metrics-port=8003",
    ]
    assert render(on_ports).sockets == {}
    assert "--model-control-mode=none" in argv


def test_nothing_of_the_console_is_inherited(context: LaunchContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "not for models")
    launch = render(context)
    assert "SECRET_KEY" not in launch.env
    assert launch.env["MODE"] == "fast"
    assert launch.env["OMP_NUM_THREADS"] == "4", "a user may replace a default"
    assert launch.env["PYTHONSAFEPATH"] == "1"


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "PYTHONHOME", "TMPDIR"])
def test_a_variable_that_would_break_the_isolation_is_refused(context: LaunchContext, name: str) -> None:
    with pytest.raises(ModelError, match=f"variable {name} cannot be set"):
        render(with_env(context, **{name: "/tmp/evil"}))


def test_a_service_without_gpu_sees_none_and_one_with_gpu_keeps_its_instance_groups(context: LaunchContext) -> None:
    (context.tree / "config.pbtxt").write_text("instance_group [{ kind: KIND_GPU count: 2 }]")
    config = "repository/digits/config.pbtxt"
    without, with_one = render(context), render(with_gpu(with_env(context)))
    assert without.env["CUDA_VISIBLE_DEVICES"] == ""
    assert b"KIND_CPU" in without.files[config]
    assert with_one.env["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert b"KIND_GPU" in with_one.files[config]
    assert with_one.env["OMP_NUM_THREADS"] == "2", "whole cores of the claim"


def test_an_instance_group_that_names_a_gpu_beyond_those_of_the_replica_is_refused(context: LaunchContext) -> None:
    config = context.tree / "config.pbtxt"
    config.write_text("instance_group [{ kind: KIND_GPU gpus: [ 0 ] }]")
    render(with_gpu(context))
    config.write_text("instance_group [{ kind: KIND_GPU gpus: [ 0, 2 ] }]")
    with pytest.raises(ModelError, match=r"names GPU 2, and a replica with 1 sees GPU 0 only: .* ask for 3 GPUs"):
        render(with_gpu(context))
    assert b"KIND_CPU" in render(context).files["repository/digits/config.pbtxt"], "on the CPU it names none"


def test_files_that_cannot_be_served_are_refused_before_a_start(context: LaunchContext) -> None:
    (context.tree / "1" / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"The version folder 1/ is empty"):
        render(context)


def test_a_backend_that_the_runtime_lacks_is_refused(context: LaunchContext) -> None:
    (context.tree / "1" / "model.pt").write_text("")
    (context.tree / "config.pbtxt").write_text('backend: "pytorch"')
    with pytest.raises(ModelError, match=r"backend pytorch, which this runtime does not have \(it has onnxruntime\)"):
        render(context)
    described = Triton().describe(context.tree, {})
    assert not described.problems
    (sentence,) = Triton().lacks(described, context.runtime)
    assert "backend pytorch, which this runtime does not have" in sentence
    assert Triton().lacks(described, context.runtime / "not-prepared") == []


def test_the_start_script_frees_the_shared_memory_of_the_dead_only(context: LaunchContext, tmp_path: Path) -> None:
    script = tmp_path / "start.sh"
    script.write_bytes(render(context).files["start.sh"])
    family = f"triton_test_{os.getpid()}_{time.monotonic_ns()}"
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead, alive, other = (
        Path("/dev/shm") / name for name in (f"{family}_{gone.pid}_a", f"{family}_{os.getpid()}_b", f"{family}x_1_c")
    )
    try:
        for region in (dead, alive, other):
            region.write_text("")
        done = subprocess.run(
            ["/bin/sh", script, family, "echo", "a b"], capture_output=True, text=True, check=True, timeout=5
        )
        assert (dead.exists(), alive.exists(), other.exists()) == (False, True, True)
    finally:
        for region in (dead, alive, other):
            region.unlink(missing_ok=True)
    assert done.stdout.startswith("a b --backend-config=python,shm-region-prefix-name=" + family)
    passwords = [word.rpartition("=")[2] for word in done.stdout.split() if "console-closed" in word]
    assert len(passwords) == 2
    assert len(passwords[0]) == 48
