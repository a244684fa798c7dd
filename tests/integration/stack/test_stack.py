"""`manage.py run`: a part that dies, hangs or loses its files is told and comes back; nothing is left at the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from services.clients.unix_http import UnixConnection
from tests.integration.engine_home import gone, wait_for
from tests.integration.live import send
from tests.integration.stack_run import PROGRAMS, Stack, stack

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("stack")]


@pytest.fixture(scope="module")
def up() -> Iterator[Stack]:
    with stack() as running:
        running.start()
        running.wait_until_up()
        yield running


def test_every_program_runs(up: Stack) -> None:
    assert sorted(info.name for info in up.supervisor.all()) == PROGRAMS
    assert up.doors_answer()


def test_the_bridge_says_that_it_is_well(up: Stack) -> None:
    connection = UnixConnection(up.home.bridge_http, 5)
    connection.request("GET", "/healthz")
    assert json.load(connection.getresponse()) == {"status": "ok"}
    connection.close()


def test_what_is_written_is_for_the_owner_only(up: Stack) -> None:
    modes: dict[Path, int] = {}
    for folder, _, names in os.walk(up.home.root):
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):  # temporary files come and go
                modes[path] = path.lstat().st_mode
    readable = [path for path, mode in modes.items() if stat.S_ISREG(mode) and mode & 0o077]
    assert [path for path in readable if path != up.output] == []


@pytest.mark.parametrize("name", ["redis", "web", "gateway", "bridge"])
def test_a_killed_program_comes_back(up: Stack, name: str) -> None:
    before = up.kill(name)
    wait_for(lambda: up.pid(name), lambda pid: pid not in (0, before))
    assert wait_for(up.doors_answer, bool)
    wait_for(up.read_output, lambda text: f"{name} had ended; it runs again" in text)


def test_what_redis_accepted_survives_its_kill(up: Stack) -> None:
    wait_for(up.doors_answer, bool)
    with redis.Redis(unix_socket_path=str(up.home.redis_socket)) as client:
        client.rpush("a-queue", *[f"message {number}" for number in range(1000)])
    before = up.kill("redis")
    wait_for(lambda: up.pid("redis"), lambda pid: pid not in (0, before))
    wait_for(up.doors_answer, bool)
    with redis.Redis(unix_socket_path=str(up.home.redis_socket)) as client:
        assert client.llen("a-queue") == 1000


def test_a_killed_supervisord_takes_its_programs_along_and_all_come_back(up: Stack) -> None:
    wait_for(up.doors_answer, bool)
    before = {name: up.pid(name) for name in ("redis", "web", "gateway", "bridge")}
    os.kill(up.supervisord(), signal.SIGKILL)
    for pid in before.values():
        assert wait_for(lambda pid=pid: gone(pid), bool)  # type: ignore[misc]
    wait_for(up.doors_answer, bool)
    assert not set(before.values()) & {up.pid(name) for name in before}


def test_a_second_run_in_the_same_home_is_refused_with_the_reason(up: Stack) -> None:
    second = Stack(up.home, up.console_port + 1, up.gateway_port + 1)
    second.output = up.home.root / "second"
    second.start()
    assert second.process and second.process.wait(30) == 1
    text = second.output.read_text()
    assert f"already running from {up.home.root} (pid {up.process and up.process.pid})" in text
    assert up.doors_answer()


def test_ctrl_c_leaves_nothing_and_the_next_run_finds_everything() -> None:
    with stack() as running:
        running.start()
        running.wait_until_up()
        with redis.Redis(unix_socket_path=str(running.home.redis_socket)) as client:
            client.set("kept", "yes")
        assert running.end(signal.SIGINT) == 0
        assert running.left() == []
        running.output.write_text("")
        running.start()
        running.wait_until_up()
        with redis.Redis(unix_socket_path=str(running.home.redis_socket)) as client:
            assert client.get("kept") == b"yes"


def test_a_killed_run_leaves_nothing_and_the_next_one_waits_for_its_end() -> None:
    with stack() as running:
        running.start()
        running.wait_until_up()
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
        running.output.write_text("")
        running.start()  # at once: the first one's supervisord is still stopping its programs
        running.wait_until_up()
        assert running.doors_answer()
        assert running.end(signal.SIGTERM) == 0
        assert running.left() == []


def test_run_and_supervisord_killed_together_leave_nothing() -> None:
    with stack() as running:
        running.start()
        running.wait_until_up()
        supervisord = running.supervisord()
        assert running.process
        os.kill(running.process.pid, signal.SIGSTOP)  # it must not replace supervisord before it dies itself
        os.kill(supervisord, signal.SIGKILL)
        running.end(signal.SIGKILL)
        assert wait_for(running.left, lambda left: left == []) == []


def test_it_ends_by_itself_when_it_is_ready_if_told_so() -> None:
    with stack() as running:
        running.start("--without-example", "--exit-when-ready")
        assert running.process and running.process.wait(60) == 0
        assert "Everything has ended" in running.read_output()
        assert running.left() == []


def test_a_taken_port_is_named_with_the_variable_that_moves_it() -> None:
    with stack() as running, socket.create_server(("127.0.0.1", running.gateway_port)):
        running.start()
        assert running.process and running.process.wait(30) == 1
        assert f"cannot listen on 127.0.0.1:{running.gateway_port}" in running.output.read_text()
        assert "GATEWAY_PORT=" in running.output.read_text()
        assert running.left() == []


def health(up: Stack) -> tuple[int, str]:
    try:
        answer = send(f"http://127.0.0.1:{up.console_port}/healthz", timeout=20)
    except OSError:
        return 0, ""
    return answer.status, answer.body.decode()


def is_well(up: Stack) -> None:
    wait_for(lambda: health(up), lambda health_now: health_now == (200, "ok\n"))


@contextmanager
def stopped(up: Stack, name: str) -> Iterator[None]:
    up.supervisor.stop(name)
    try:
        yield
    finally:
        wait_for(lambda: up.pid(name), lambda pid: pid == 0)
        up.supervisor.start(name)


SENTENCES = {
    "gateway": "The gateway does not answer: every request is refused, connection refused (127.0.0.1:{port}).",
    "bridge": "The bridge does not answer: requests over KServe V1, TensorFlow Serving and text over gRPC fail.",
    "redis": "Redis does not answer: changes take effect with the next sweep, seconds later.",
    "worker": "Worker does not run: nothing is started, replaced or counted.",
    "preheat": "Preheat does not run: no model files are copied or verified.",
    "beat": "Beat does not run: nothing is swept: a lost message is not noticed.",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_part_that_does_not_run_is_told_until_it_does(up: Stack, name: str) -> None:
    is_well(up)
    with stopped(up, name):
        sentence = SENTENCES[name].format(port=up.gateway_port)
        status, _ = wait_for(lambda: health(up), lambda health_now: sentence in health_now[1])
        assert status == 503
    is_well(up)


@pytest.mark.parametrize(
    ("name", "words"),
    [("gateway", "The gateway hangs"), ("bridge", "The bridge does not answer"), ("redis", "Redis does not answer")],
)
def test_a_part_that_hangs_is_told_and_holds_no_page(up: Stack, name: str, words: str) -> None:
    is_well(up)
    pid = up.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        status, _ = wait_for(lambda: health(up), lambda health_now: words in health_now[1])
        assert status == 503
    finally:
        os.kill(pid, signal.SIGCONT)
    is_well(up)


def test_a_worker_that_hangs_is_told(up: Stack) -> None:
    is_well(up)
    pid = up.pid("worker")
    os.kill(pid, signal.SIGSTOP)
    try:
        os.utime(up.home.swept, (0, 0))
        status, health_text = wait_for(
            lambda: health(up), lambda health_text: "No sweep has ended for" in health_text[1]
        )
        assert status == 503 and "nothing is started, replaced or counted" in health_text
    finally:
        os.kill(pid, signal.SIGCONT)
    is_well(up)


def test_a_gateway_without_any_of_its_files_is_made_anew(up: Stack) -> None:
    is_well(up)
    before = up.pid("gateway")
    shutil.rmtree(up.home.gateway)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: up.pid("gateway"), lambda pid: pid not in (0, before))
    wait_for(up.doors_answer, bool)
    is_well(up)


@pytest.mark.parametrize("name", ["gateway", "redis"])
def test_a_program_whose_launch_file_and_folder_are_gone_starts_again(up: Stack, name: str) -> None:
    is_well(up)
    (up.home.run / "stack" / f"{name}.json").unlink()
    if (up.home.run / name).is_dir():
        shutil.rmtree(up.home.run / name)
    before = up.kill(name)
    wait_for(lambda: up.pid(name), lambda pid: pid not in (0, before))
    is_well(up)


@pytest.mark.parametrize("name", ["redis", "bridge", "gateway", "supervisor"])
def test_a_socket_file_that_is_gone_is_made_again(up: Stack, name: str) -> None:
    is_well(up)
    sockets = {
        "redis": up.home.redis_socket,
        "bridge": up.home.bridge_http,
        "gateway": up.home.gateway_egress,
        "supervisor": up.home.supervisor_socket,
    }
    before = up.supervisord()
    sockets[name].unlink()
    wait_for(sockets[name].exists, bool)
    is_well(up)
    assert up.supervisord() == before


def test_supervisord_finds_its_configuration_although_it_was_removed(up: Stack) -> None:
    is_well(up)
    up.home.supervisor_conf.unlink()
    shutil.rmtree(up.home.run / "stack")
    os.kill(up.supervisord(), signal.SIGKILL)
    wait_for(up.doors_answer, bool)
    is_well(up)
