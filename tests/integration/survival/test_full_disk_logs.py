"""A disk that is full: supervisord and what it runs stay."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from console.home import Home
from services.engines import base
from services.engines.local import LocalEngine
from services.gateway import status, usage_lines
from services.gateway.envoy import names
from services.gateway.snapshot import Snapshot
from services.specs import Launch
from tests.integration.engine_home import gone, replica, running, wait_for, wait_for_state
from tests.integration.small_disk import MIB, SmallDisk, run_in_a_namespace, small_disk
from tests.servers.gateway.rig import Gateway

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("full-disk")]
NAME = "svc-it-r1-0"
CHATTY = "import time\nn = 0\nwhile True:\n    n += 1; print(n, 'x' * 1000, flush=True); time.sleep(0.001)\n"
DETACHING = (
    "import subprocess, sys, time\n"
    "child = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
    "print(subprocess.Popen(child, start_new_session=True).pid, flush=True); time.sleep(600)\n"
)


@contextmanager
def home_on(disk: SmallDisk) -> Iterator[Home]:
    yield Home(disk.folder, disk.folder / "runtimes")


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(48 * MIB) as disk:
        yield disk


def python(code: str) -> Launch:
    return Launch((sys.executable, "-c", code), {})


def test_a_program_that_logs_outlives_a_full_disk_and_its_log_says_what_is_missing(disk: SmallDisk) -> None:
    with home_on(disk) as home, running(home) as supervisor:
        engine = LocalEngine(home)
        engine.apply(replica(home, python(CHATTY)))
        chatty, pid = wait_for_state(engine, base.RUNNING), supervisor.pid
        log = home.logs / "replicas" / f"{NAME}.log"
        wait_for(lambda: log.stat().st_size, lambda size: size > 0)
        disk.fill()
        sizes = (log.stat().st_size, log.stat().st_size)
        before = psutil.Process(pid).cpu_times().user
        wait_for(lambda: psutil.Process(pid).cpu_times().user, lambda now: now > before + 0.1)  # it reads, and drops
        assert (engine.observe(NAME).state, engine.observe(NAME).pid) == (base.RUNNING, chatty.pid), sizes
        disk.empty()
        text = wait_for(lambda: log.read_text("utf-8", "replace"), lambda text: "bytes of this log are missing" in text)
        assert "missing: No space left on device]\n" in text
        size = log.stat().st_size
        wait_for(lambda: log.stat().st_size, lambda now: now != size)
        assert (engine.observe(NAME).pid, supervisor.pid) == (chatty.pid, pid)


def test_a_program_is_started_and_stopped_while_the_disk_is_full(disk: SmallDisk) -> None:
    with home_on(disk) as home, running(home):
        engine = LocalEngine(home)
        engine.apply(replica(home, python(CHATTY)))
        first = wait_for_state(engine, base.RUNNING)
        disk.fill()
        os.kill(first.pid, signal.SIGKILL)
        again = wait_for(lambda: engine.observe(NAME), lambda seen: seen.pid not in (0, first.pid))
        assert not gone(again.pid)
        engine.stop(NAME)
        assert gone(again.pid)
        disk.empty()


def test_what_a_program_detached_from_itself_ends_with_it_also_by_kill_9(disk: SmallDisk) -> None:
    with home_on(disk) as home, running(home) as supervisor:
        engine = LocalEngine(home)
        log = home.logs / "replicas" / f"{NAME}.log"
        pids: list[int] = []
        for end in (lambda: engine.stop(NAME), lambda: os.kill(supervisor.pid, signal.SIGKILL)):
            engine.apply(replica(home, python(DETACHING)))
            wait_for_state(engine, base.RUNNING)
            log_text = wait_for(log.read_text, lambda text: text.count("\n") > len(pids))
            pids.append(int(log_text.split()[-1]))
            assert not gone(pids[-1])
            end()
            wait_for(lambda: gone(pids[-1]), bool)
        wait_for(supervisor.ended, bool)


def test_a_gateway_that_cannot_write_its_log_serves_on_and_says_so_and_half_a_line_is_no_request(
    disk: SmallDisk,
) -> None:
    gateway = Gateway.prepared(disk.folder / "gateway", Snapshot())
    log = gateway.directory / names.ACCESS_LOG

    def ask(mark: str) -> None:
        assert gateway.call("GET", f"/nothing/{mark}").status == 404

    gateway.run()
    try:
        ask("before")
        wait_for(log.read_text, lambda text: "before" in text)
        disk.fill()
        for _ in range(40):  # more than what is left of the last block
            ask("while-full")
        assert wait_for(lambda: status.failed_writes(gateway.directory), lambda count: count > 0) > 0
        disk.empty()
        ask("after")
        text = wait_for(log.read_text, lambda text: "after" in text)
    finally:
        gateway.kill()
    sums = usage_lines.add_up(text.encode())
    written = text.count('"request_id"')
    assert sums.unreadable == 0
    assert written - sums.torn <= sums.requests <= written
    assert status.failed_writes(gateway.directory) == 0  # it does not run


def test_the_same_in_a_namespace_where_nothing_may_be_mounted_outside() -> None:
    run_in_a_namespace(__file__)
