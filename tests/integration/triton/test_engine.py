"""LocalEngine and the real Triton: its Python stubs die with it, and it comes back on its ports."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from console.home import Home
from console.stack.process import SupervisorProcess
from services.engines import base
from services.engines.local import LocalEngine
from services.engines.local.ports import allocate
from services.frameworks.triton.launch import render
from services.specs import Ports, ReplicaSpec
from tests.integration.engine_home import gone, replica, running, short_home, wait_for, wait_for_state
from tests.servers import triton

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("engine-triton")]

NAME = "svc-mnist-r1-0"


@pytest.fixture(scope="module")
def root() -> Path:
    return triton.runtime_root()


@pytest.fixture(scope="module")
def samples(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return triton.make_samples(root, tmp_path_factory.mktemp("samples"))


@pytest.fixture
def stack() -> Iterator[tuple[Home, SupervisorProcess]]:
    with short_home("tr-") as home, running(home) as process:
        yield home, process


def spec_for(home: Home, tree: Path, root: Path) -> tuple[ReplicaSpec, int]:
    ports = Ports(*allocate(3, set(), near=str(home.root)))
    context = triton.context_for("mnist", tree, home.replicas / NAME, root, ports)
    return replica(home, render(context), name=NAME, start_seconds=5), ports.http


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/mnist/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def test_a_killed_triton_leaves_no_stub_and_answers_again(
    stack: tuple[Home, SupervisorProcess], samples: Path, root: Path
) -> None:
    home, supervisor = stack
    engine = LocalEngine(home)
    spec, port = spec_for(home, samples / "mnist-svm", root)
    engine.apply(spec)
    wait_for(lambda: ready(port), bool)

    first = family(engine.observe(NAME).pid)
    assert len(first) > 1  # the server and its stub
    os.kill(first[0], signal.SIGKILL)
    assert wait_for(lambda: all(gone(pid) for pid in first), bool)
    wait_for(lambda: engine.observe(NAME).pid, lambda pid: pid not in (0, first[0]))
    wait_for(lambda: ready(port), bool)

    second = family(engine.observe(NAME).pid)
    os.kill(supervisor.pid, signal.SIGKILL)
    assert wait_for(lambda: all(gone(pid) for pid in second), bool)
    wait_for(supervisor.ended, bool)
    supervisor.start()
    wait_for(lambda: ready(port), bool)

    third = family(engine.observe(NAME).pid)
    engine.stop(NAME)
    assert wait_for(lambda: all(gone(pid) for pid in third), bool)


def test_one_that_hangs_altogether_is_killed_with_its_stub_and_answers_again(
    stack: tuple[Home, SupervisorProcess], samples: Path, root: Path
) -> None:
    """A stopped process acts on no SIGTERM: without SIGKILL it would be waited for."""
    home, _ = stack
    engine = LocalEngine(home)
    spec, port = spec_for(home, samples / "mnist-svm", root)
    engine.apply(replace(spec, stop_seconds=300))
    wait_for(lambda: ready(port), bool)
    server, *others = first = family(engine.observe(NAME).pid)
    assert any("stub" in psutil.Process(pid).name() for pid in others)
    for pid in first:
        os.kill(pid, signal.SIGSTOP)
    engine.restart(NAME, hangs=True)
    assert wait_for(lambda: all(gone(pid) for pid in first), bool)
    wait_for(lambda: ready(port), bool)
    assert engine.observe(NAME).pid != server
    engine.stop(NAME)


def test_a_model_that_raises_at_load_is_failed_with_the_reason_in_its_log(
    stack: tuple[Home, SupervisorProcess], samples: Path, root: Path, tmp_path: Path
) -> None:
    home, _ = stack
    tree = tmp_path / "mnist"
    for path in (samples / "mnist-svm").rglob("*"):
        if path.is_file():
            copy = tree / path.relative_to(samples / "mnist-svm")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    [model] = tree.rglob("model.py")
    model.write_text("raise RuntimeError('the weights are from another planet')\n")
    engine = LocalEngine(home)
    spec, _port = spec_for(home, tree, root)
    engine.apply(spec)
    wait_for_state(engine, base.FAILED, NAME, seconds=120)
    assert "the weights are from another planet" in engine.logs(NAME).text
