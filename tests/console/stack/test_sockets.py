"""A program is restarted for its socket files only when it has lost them, or will never make them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from console.stack.programs import StackProgram
from console.stack.sockets import SETTLED_SECONDS, START_SECONDS, Sockets
from services.engines.local.supervisor import ProcessInfo


@pytest.fixture
def program(tmp_path: Path) -> StackProgram:
    return StackProgram("bridge", ("true",), tmp_path, sockets=(tmp_path / "http.sock", tmp_path / "grpc.sock"))


def make_sockets(program: StackProgram) -> None:
    for path in program.sockets:
        path.touch()


def process(uptime: float, *, pid: int = 7, state: str = "RUNNING") -> ProcessInfo:
    return ProcessInfo("bridge", state, pid, uptime, 0, "")


def test_one_that_takes_its_time_to_start_is_left_alone(program: StackProgram) -> None:
    sockets = Sockets()
    for uptime in (0.5, SETTLED_SECONDS + 1, START_SECONDS - 1):
        assert sockets.problem(program, process(uptime)) == ""


def test_one_that_never_makes_them_is_restarted_in_the_end(program: StackProgram) -> None:
    problem = Sockets().problem(program, process(START_SECONDS + 1))
    assert problem == "has not made http.sock, grpc.sock in 120 s"


def test_one_that_lost_them_is_restarted_at_once(program: StackProgram) -> None:
    sockets = Sockets()
    make_sockets(program)
    assert sockets.problem(program, process(SETTLED_SECONDS + 1)) == ""
    program.sockets[0].unlink()
    assert sockets.problem(program, process(SETTLED_SECONDS + 2)) == "has lost http.sock"


def test_the_process_after_it_has_its_own_time_to_start(program: StackProgram) -> None:
    sockets = Sockets()
    make_sockets(program)
    assert sockets.problem(program, process(SETTLED_SECONDS + 1)) == ""
    program.sockets[0].unlink()
    assert sockets.problem(program, process(SETTLED_SECONDS + 1, pid=8)) == ""


def test_one_that_lost_them_as_soon_as_it_had_them_is_restarted_too(program: StackProgram) -> None:
    sockets = Sockets()
    make_sockets(program)
    assert sockets.problem(program, process(2)) == ""
    program.sockets[0].unlink()
    assert sockets.problem(program, process(3)) == ""
    assert sockets.problem(program, process(SETTLED_SECONDS + 1)) == "has lost http.sock"


def test_files_left_by_the_process_before_do_not_count(program: StackProgram) -> None:
    sockets = Sockets()
    make_sockets(program)
    for path in program.sockets:
        os.utime(path, (0, 0))
    assert sockets.problem(program, process(1)) == ""
    program.sockets[0].unlink()
    assert sockets.problem(program, process(SETTLED_SECONDS + 1)) == ""


def test_one_that_does_not_run_has_no_problem_of_this_kind(program: StackProgram) -> None:
    assert Sockets().problem(program, process(START_SECONDS + 1, state="STOPPING")) == ""
