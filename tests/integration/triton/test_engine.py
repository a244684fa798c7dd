"""LocalEngine and the real Triton: its Python stubs die with it, and it comes back on its sockets."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from services.clients.probes import kserve_v2
from services.engines.local import LocalEngine, sandboxes
from services.errors import ProbeError
from services.frameworks.triton.launch import render
from services.listeners import WORKING_DIRECTORY, Address
from tests.integration.engine_home import child_named, gone, replica, running, short_home, wait_for
from tests.servers.triton import context_for, runtime_root

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("engine-triton")]

NAME = "svc-mnist-r1-0"


def ready(address: Address) -> bool:
    try:
        return kserve_v2.get(address, "/v2/models/mnist/ready", 2)[0] == 200
    except ProbeError:
        return False


@pytest.mark.parametrize("sandbox", [sandboxes.REQUIRE, sandboxes.OFF])
def test_a_triton_that_was_killed_or_hangs_leaves_no_stub_and_answers_again(samples: Path, sandbox: str) -> None:
    """A stopped process acts on no SIGTERM: without SIGKILL it would be waited for."""
    with short_home("tr-") as home, running(home) as supervisor:
        engine, tree, runtime = LocalEngine(home, sandbox), samples / "mnist-svm", runtime_root()
        site = engine.site(NAME, tree)
        context = replace(context_for("mnist", tree, site.run_dir, runtime, WORKING_DIRECTORY), models=site.models)
        launch = render(context)
        engine.apply(replica(home, launch, NAME, 5, tree=tree, runtime=runtime, stop_seconds=300))

        def answers(before: list[int]) -> list[int]:
            """The processes of the one that answers now, after those: its keeper, the server and its stub."""
            wait_for(lambda: engine.observe(NAME).pid, lambda pid: pid not in (0, *before[:1]))
            wait_for(lambda: ready(engine.listeners(NAME).http), bool)
            keeper = engine.observe(NAME).pid
            return [keeper, *(child_named(keeper, name).pid for name in ("tritonserver", "stub"))]

        def end() -> bool:
            return wait_for(lambda: all(gone(pid) for pid in pids), bool)

        pids = answers([])
        for number in (0, 1):
            os.kill(pids[number], signal.SIGKILL)
            assert end()
            pids = answers(pids)

        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        engine.restart(NAME, hangs=True)
        assert end()

        pids = answers(pids)
        os.kill(supervisor.pid, signal.SIGKILL)
        assert end()
        wait_for(supervisor.ended, bool)
        supervisor.start()

        pids = answers(pids)
        engine.stop(NAME)
        assert end()
