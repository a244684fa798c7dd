"""However `manage.py run` ends, nothing is left, and the next run has everything. Ctrl-C: see stack_run.stack."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.integration.engine_home import wait_for
from tests.integration.stack_run import Stack, stack
from tests.integration.survival.survivor import Survivor

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("rough")]


def test_a_killed_run_leaves_nothing_and_the_next_one_waits_for_its_end(up: Survivor) -> None:
    before = up.belongings()
    with up.messages():
        assert up.stack.end(signal.SIGKILL) == -signal.SIGKILL
        up.stack.start_with_example()  # at once: the first one's supervisord is still stopping its programs
    up.recovered(before)


def test_run_and_supervisord_killed_together_leave_nothing_and_a_later_run_has_everything(up: Survivor) -> None:
    """Between them one that is told to end when it is ready."""
    before = up.belongings()
    with up.messages():
        supervisord = up.stack.supervisord()
        assert up.stack.process
        os.kill(up.stack.process.pid, signal.SIGSTOP)  # it must not replace supervisord before it dies itself
        os.kill(supervisord, signal.SIGKILL)
        up.stack.end(signal.SIGKILL)
        wait_for(up.stack.left, lambda left: left == [])

        up.stack.start("--no-color", "--exit-when-ready")
        assert up.stack.process.wait(120) == 0
        assert "Everything has ended" in up.stack.read_output()
        assert up.stack.left() == []

        up.stack.start_with_example()
    up.recovered(before)


def test_a_second_run_in_the_same_home_is_refused_with_the_reason(up: Survivor, tmp_path: Path) -> None:
    second = Stack(up.stack.home, up.stack.console_port + 1, up.stack.gateway_port + 1)
    second.output = tmp_path / "output"
    second.start()
    assert second.process and second.process.wait(60) == 1
    text = second.output.read_text()
    assert f"already running from {up.stack.home.root} (pid {up.stack.process and up.stack.process.pid})" in text
    up.is_well()


def test_a_taken_port_is_named_with_the_variable_that_moves_it() -> None:
    with stack() as running, socket.create_server(("127.0.0.1", running.gateway_port)):
        running.start()
        assert running.process and running.process.wait(60) == 1
        assert f"cannot listen on 127.0.0.1:{running.gateway_port}" in running.output.read_text()
        assert "GATEWAY_PORT=" in running.output.read_text()
