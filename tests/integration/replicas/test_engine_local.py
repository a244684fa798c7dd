"""LocalEngine against a real supervisord and real small programs."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from console.home import Home
from console.stack.process import SupervisorProcess
from services.clients.probes import exchange
from services.engines import base
from services.engines.local import LocalEngine
from services.errors import EngineError, ProbeError
from services.specs import Launch
from tests.integration.engine_home import gone, replica, running, short_home, wait_for, wait_for_state

pytestmark = pytest.mark.integration

NAME = "svc-it-r1-0"
SLEEP = Launch(argv=(sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"), env={})


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with short_home() as root:
        yield root


@pytest.fixture(scope="module")
def supervisor(home: Home) -> Iterator[SupervisorProcess]:
    with running(home) as process:
        yield process


@pytest.fixture
def engine(home: Home, supervisor: SupervisorProcess) -> Iterator[LocalEngine]:
    local = LocalEngine(home)
    yield local
    for name in local.names():
        local.stop(name)
    for log in (home.logs / "replicas").iterdir():
        log.unlink()


SERVER = """
import http.server, os, socketserver, time

class Server(socketserver.ThreadingUnixStreamServer):
    def get_request(self):
        request, _ = super().get_request()
        return request, ("", 0)  # a client of a unix socket has no address to log

server = Server("http.sock", http.server.SimpleHTTPRequestHandler)
"""


def server(then: str = "") -> Launch:
    """Serves its files on a socket, once it has done what comes first."""
    code = SERVER + then + "print('up', flush=True)\nserver.serve_forever()\n"
    return Launch((sys.executable, "-c", code), {}, {"hello.txt": b"hello"}, sockets={"http": "http.sock"})


def answers(engine: LocalEngine) -> bool:
    try:
        return exchange.get(engine.listeners(NAME).http, "/hello.txt", 5) == (200, b"hello")
    except ProbeError:
        return False


def test_a_program_that_is_applied_runs_and_serves_its_files(home: Home, engine: LocalEngine) -> None:
    engine.apply(replica(home, server()))
    seen = wait_for_state(engine, base.RUNNING)
    assert seen.pid > 0
    assert wait_for(lambda: answers(engine), bool)
    assert engine.names() == [NAME]


def test_applied_twice_it_is_still_the_same_process(home: Home, engine: LocalEngine) -> None:
    engine.apply(replica(home, SLEEP))
    first = wait_for_state(engine, base.RUNNING)
    engine.apply(replica(home, SLEEP))
    assert engine.observe(NAME).pid == first.pid


def test_a_changed_launch_replaces_the_process_and_its_files(home: Home, engine: LocalEngine) -> None:
    run_dir = home.replicas / NAME
    engine.apply(replica(home, Launch(SLEEP.argv, {}, {"a/old.txt": b"1"}, {"link": Path("/etc/hostname")})))
    first = wait_for_state(engine, base.RUNNING)
    assert (run_dir / "link").readlink() == Path("/etc/hostname")
    engine.apply(replica(home, Launch(SLEEP.argv, {}, {"a/new.txt": b"2"})))
    second = wait_for_state(engine, base.RUNNING)
    assert second.pid != first.pid
    assert gone(first.pid)
    assert [path.name for path in (run_dir / "a").iterdir()] == ["new.txt"]
    assert not (run_dir / "link").is_symlink()


@pytest.mark.parametrize("which", ["keeper", "server"])
def test_a_killed_process_comes_back_by_itself_on_the_same_socket(home: Home, engine: LocalEngine, which: str) -> None:
    engine.apply(replica(home, server()))
    first = wait_until_it_says_up(engine)
    [its_server] = children_of(first.pid)
    os.kill(first.pid if which == "keeper" else its_server, signal.SIGKILL)
    wait_for(lambda: engine.observe(NAME), lambda seen: seen.state == base.RUNNING and seen.pid != first.pid)
    assert gone(its_server)
    assert wait_for(lambda: answers(engine), bool)


def test_a_program_that_ends_at_once_is_failed_and_its_last_words_are_kept(home: Home, engine: LocalEngine) -> None:
    launch = Launch(argv=(sys.executable, "-c", "raise SystemExit('no such model: é')"), env={"PYTHONUTF8": "1"})
    engine.apply(replica(home, launch, start_seconds=30, start_retries=1))
    seen = wait_for_state(engine, base.FAILED)
    assert seen.pid == 0
    assert seen.message.startswith("It ended each time")
    assert engine.logs(NAME).text.splitlines()[-1] == "no such model: é"
    engine.stop(NAME)
    assert "no such model" in engine.logs(NAME).text  # the log outlives the replica


def test_a_program_that_ends_after_its_start_window_again_and_again_is_failed_too(
    home: Home, engine: LocalEngine
) -> None:
    launch = Launch(argv=(sys.executable, "-c", "import time; time.sleep(1.3)"), env={})
    engine.apply(replica(home, launch, start_retries=0))
    wait_for_state(engine, base.FAILED)
    assert "Started 3 times in the last 300 seconds" in engine.logs(NAME).text


def test_a_failed_program_starts_again_when_it_is_applied_again(home: Home, engine: LocalEngine) -> None:
    flag = home.root / "may-run"
    launch = Launch(argv=(sys.executable, "-c", f"import os, time; os.stat({str(flag)!r}); time.sleep(600)"), env={})
    engine.apply(replica(home, launch, start_retries=0))
    wait_for_state(engine, base.FAILED)
    flag.touch()
    engine.apply(replica(home, launch, start_retries=0))
    wait_for_state(engine, base.RUNNING)


def test_restart_gives_a_new_process(home: Home, engine: LocalEngine) -> None:
    engine.apply(replica(home, SLEEP))
    first = wait_for_state(engine, base.RUNNING)
    engine.restart(NAME)
    second = wait_for_state(engine, base.RUNNING)
    assert second.pid != first.pid
    assert gone(first.pid)


def test_stop_leaves_nothing_but_the_log(home: Home, engine: LocalEngine) -> None:
    family = "import subprocess, time; subprocess.Popen(['sleep', '600']); print('up', flush=True); time.sleep(600)"
    engine.apply(replica(home, Launch(argv=(sys.executable, "-c", family), env={"PATH": "/usr/bin:/bin"})))
    seen = wait_until_it_says_up(engine)
    children = children_of(seen.pid)
    assert len(children) == 2, "the process that it keeps, and the child of that"
    engine.stop(NAME)
    engine.stop(NAME)  # twice is once
    assert engine.observe(NAME).state == base.ABSENT
    assert wait_for(lambda: gone(seen.pid) and all(gone(child) for child in children), bool)
    assert engine.names() == []
    assert [path.name for path in home.programs.iterdir()] == [f"{NAME}.lock"]
    assert not list(home.sockets.iterdir())
    assert engine.logs(NAME).text == "up\n"


def test_a_process_that_ignores_sigterm_is_killed_in_time(home: Home, engine: LocalEngine) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    engine.apply(replica(home, Launch(argv=(sys.executable, "-c", stubborn), env={}), stop_seconds=1))
    seen = wait_until_it_says_up(engine)
    began = time.monotonic()
    engine.stop(NAME)
    assert gone(seen.pid)
    assert time.monotonic() - began < 10


REPORT = """
import json, os, sys, time
try:
    import datasets
    found = datasets.__file__
except ImportError:
    found = None
report = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "datasets": found}
with open("report.tmp", "w") as file:
    json.dump(report, file)
os.rename("report.tmp", "report.json")
time.sleep(600)
"""


def test_arguments_and_environment_arrive_as_they_were_given(home: Home, engine: LocalEngine) -> None:
    nasty = ["%(ENV_HOME)s 100%", 'it\'s "quoted"', "two\nlines", " ; comment # too", "", "ünï", "$HOME `id` \\"]
    env = {f"NASTY_{index}": text for index, text in enumerate(nasty)} | {"LC_ALL": "C.UTF-8"}
    engine.apply(replica(home, Launch(argv=(sys.executable, "-c", REPORT, *nasty), env=env)))
    path = home.replicas / NAME / "report.json"
    wait_for(path.exists, bool)
    report = json.loads(path.read_text())
    assert report["argv"] == nasty
    assert report["env"] == env
    assert report["cwd"] == str(home.replicas / NAME)
    assert report["datasets"] is None
    path.unlink()


def test_secrets_in_the_environment_are_readable_by_the_owner_only(home: Home, engine: LocalEngine) -> None:
    engine.apply(replica(home, Launch(SLEEP.argv, {"TOKEN": "s3cret"})))
    holding = [path for path in home.run.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert [path.name for path in holding] == [f"{NAME}.json"]
    assert holding[0].stat().st_mode & 0o777 == 0o600
    pid = wait_for_state(engine, base.RUNNING).pid
    assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_command_that_does_not_exist_is_failed_and_says_so(home: Home, engine: LocalEngine) -> None:
    engine.apply(replica(home, Launch(argv=("/no/such/server",), env={}), start_retries=0))
    wait_for_state(engine, base.FAILED)
    assert "Cannot start /no/such/server: No such file or directory." in engine.logs(NAME).text


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", ""])
def test_a_launch_cannot_write_outside_its_run_directory(home: Home, engine: LocalEngine, name: str) -> None:
    with pytest.raises(EngineError, match="may not write"):
        engine.apply(replica(home, Launch(SLEEP.argv, {}, {name: b"x"})))
    assert engine.observe(NAME).state == base.ABSENT


def test_a_disk_that_does_not_take_the_files_is_an_engine_error(home: Home, engine: LocalEngine) -> None:
    spec = replica(home, SLEEP, name="svc-full-r1-0")
    spec.run_dir.parent.mkdir(parents=True, exist_ok=True)
    spec.run_dir.write_text("a file where the directory has to be")
    try:
        with pytest.raises(EngineError, match="Cannot prepare svc-full-r1-0"):
            engine.apply(spec)
    finally:
        spec.run_dir.unlink()
    assert engine.observe(spec.name).state == base.ABSENT


def test_a_launch_cannot_write_through_a_link_of_its_own(home: Home, engine: LocalEngine, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="through a link"):
        engine.apply(replica(home, Launch(SLEEP.argv, {}, {"tree/x": b"x"}, {"tree": tmp_path})))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["redis", "svc-x\n[program:y]", "svc-../x", "svc-"])
def test_only_names_of_replicas_are_taken(home: Home, engine: LocalEngine, name: str) -> None:
    with pytest.raises(EngineError, match="not the name of a replica"):
        engine.apply(replica(home, SLEEP, name=name))


def test_when_supervisord_is_killed_its_programs_end_and_come_back_with_the_next_one() -> None:
    with short_home() as home, running(home) as supervisor:
        engine = LocalEngine(home)
        engine.apply(replica(home, server()))
        first = wait_until_it_says_up(engine)
        family = [first.pid, *children_of(first.pid)]
        os.kill(supervisor.pid, signal.SIGKILL)
        assert wait_for(lambda: all(gone(pid) for pid in family), bool)
        wait_for(supervisor.ended, bool)
        with pytest.raises(EngineError, match="not running; start it with `make run`"):
            engine.observe(NAME)
        supervisor.start()
        second = wait_for_state(engine, base.RUNNING)
        assert second.pid != first.pid
        assert wait_for(lambda: answers(engine), bool)
        engine.apply(replica(home, server()))
        assert engine.observe(NAME).pid == second.pid


def test_a_straggler_that_holds_the_socket_is_ended_before_its_successor_starts() -> None:
    with short_home() as home, running(home):
        engine = LocalEngine(home)
        # The child of the process inherits lock and socket, and does not die with it.
        engine.apply(replica(home, server("if os.fork() == 0:\n    os.setsid(); time.sleep(600)\n")))
        first = wait_until_it_says_up(engine)
        [its_server] = psutil.Process(first.pid).children()
        [child] = children_of(its_server.pid)
        its_server.kill()
        assert wait_for(lambda: gone(child), bool)
        assert wait_for(lambda: answers(engine), bool)


def wait_until_it_says_up(engine: LocalEngine) -> base.Observation:
    """RUNNING says only that it lives: on a busy machine its code has not begun by then."""
    wait_for(lambda: engine.logs(NAME).text, lambda text: "up\n" in text)
    return wait_for_state(engine, base.RUNNING)


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
