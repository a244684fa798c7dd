"""LocalEngine and the real Triton: its Python stubs die with it, and it comes back on its ports."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from services.engines.local import LocalEngine
from services.engines.local.ports import allocate
from services.frameworks.triton.launch import render
from services.specs import Ports
from tests.integration.engine_home import child_named, gone, replica, running, short_home, wait_for
from tests.servers.triton import context_for, runtime_root

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("engine-triton")]

NAME = "svc-mnist-r1-0"


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/mnist/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_a_triton_that_was_killed_or_hangs_leaves_no_stub_and_answers_again(samples: Path) -> None:
    """A stopped process acts on no SIGTERM: without SIGKILL it would be waited for."""
    with short_home("tr-") as home, running(home) as supervisor:
        engine, ports = LocalEngine(home), Ports(*allocate(3, set(), near=str(home.root)))
        context = context_for("mnist", samples / "mnist-svm", home.replicas / NAME, runtime_root(), ports)
        engine.apply(replace(replica(home, render(context), name=NAME, start_seconds=5), stop_seconds=300))
        before: list[int] = []

        def answers_again() -> list[int]:
            """The processes of the one that answers now: the server and its stub."""
            wait_for(lambda: engine.observe(NAME).pid, lambda pid: pid not in (0, *before[:1]))
            wait_for(lambda: ready(ports.http), bool)
            server = engine.observe(NAME).pid
            return [server, child_named(server, "stub").pid]

        before = answers_again()
        os.kill(before[0], signal.SIGKILL)
        assert wait_for(lambda: all(gone(pid) for pid in before), bool)

        before = answers_again()
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        engine.restart(NAME, hangs=True)
        assert wait_for(lambda: all(gone(pid) for pid in before), bool)

        before = answers_again()
        os.kill(supervisor.pid, signal.SIGKILL)
        assert wait_for(lambda: all(gone(pid) for pid in before), bool)
        wait_for(supervisor.ended, bool)
        supervisor.start()

        before = answers_again()
        engine.stop(NAME)
        assert wait_for(lambda: all(gone(pid) for pid in before), bool)
