"""A part that is stopped, hangs or loses its files is told and comes back, and inference goes on."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.engine_home import wait_for
from tests.integration.stack_run import PROGRAMS
from tests.integration.survival.survivor import Survivor

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("rough")]
SENTENCES = {
    "gateway": "The gateway does not answer: every request is refused, connection refused (127.0.0.1:{port}).",
    "beat": "Beat does not run: nothing is swept: a lost message is not noticed.",
    "worker": "Worker does not run: nothing is started, replaced or counted.",
    "preheat": "Preheat does not run: no model files are copied or verified.",
    "bridge": "The bridge does not answer: requests over KServe V1, TensorFlow Serving and text over gRPC fail.",
    "redis": "Redis does not answer: changes take effect with the next sweep, seconds later.",
}


def test_every_program_runs(up: Survivor) -> None:
    names = [info.name for info in up.stack.supervisor.all()]
    assert sorted(name for name in names if not name.startswith("svc-")) == PROGRAMS
    up.is_well()


def test_what_is_written_is_for_the_owner_only(up: Survivor) -> None:
    """Except for models in the store, which may be shared, and what the tests write themselves."""
    modes: dict[Path, int] = {}
    for folder, _, names in os.walk(up.stack.home.root):
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):  # temporary files come and go
                modes[path] = path.lstat().st_mode
    others = {up.stack.home.store, up.stack.datasets, up.stack.output}
    readable = [path for path, mode in modes.items() if stat.S_ISREG(mode) and mode & 0o077]
    assert [path for path in readable if not others & {path, *path.parents}] == []


def stop(up: Survivor, *names: str) -> None:
    for name in names:
        up.stack.supervisor.stop(name)
    for name in names:
        wait_for(lambda name=name: up.stack.pid(name), lambda pid: pid == 0)  # type: ignore[misc]


def is_told(up: Survivor, words: str) -> None:
    """Though a part is away, the page is not held."""
    status, _ = wait_for(up.health, lambda health: words in health[1])
    assert status == 503


def test_a_part_that_does_not_run_is_told_until_it_does_and_inference_goes_on(up: Survivor) -> None:
    before = up.belongings()
    for name, sentence in SENTENCES.items():
        stop(up, name)
        is_told(up, sentence.format(port=up.stack.gateway_port))
        if name == "gateway":
            up.stack.supervisor.start(name)
            up.is_well()
    stop(up, "web")
    assert [up.ask(up.good) for _ in range(50)] == [200] * 50
    assert [up.ask_grpc(up.good) for _ in range(50)] == [200] * 50
    wrong = up.good[:-4] + "0000"
    assert [up.ask(key) for key in (wrong, up.revoked)] == [401, 401]
    assert [up.ask_grpc(key) for key in (wrong, up.revoked)] == [401, 401]

    up.came_back("gateway", up.stack.kill("gateway"))
    up.until(lambda: up.ask(up.good), lambda status: status == 200)
    assert (up.ask_grpc(up.good), up.ask(wrong), up.ask(up.revoked)) == (200, 401, 401)
    down = [*(SENTENCES.keys() - {"gateway"}), "web"]
    assert {up.stack.pid(name) for name in down} == {0}
    for name in reversed(down):
        up.stack.supervisor.start(name)
    up.is_well()
    up.recovered(before)


@contextmanager
def suspended(up: Survivor, name: str) -> Iterator[None]:
    pid = up.stack.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
    up.is_well()


@pytest.mark.parametrize(
    ("name", "words"),
    [("gateway", "The gateway hangs"), ("bridge", "The bridge does not answer"), ("redis", "Redis does not answer")],
)
def test_a_part_that_hangs_is_told_and_holds_no_page(up: Survivor, name: str, words: str) -> None:
    with suspended(up, name):
        is_told(up, words)


def test_a_worker_that_hangs_is_told(up: Survivor) -> None:
    with suspended(up, "worker"):
        os.utime(up.stack.home.swept, (0, 0))
        is_told(up, "No sweep has ended for")
        assert "nothing is started, replaced or counted" in up.health()[1]


def test_socket_files_that_are_gone_are_made_again(up: Survivor) -> None:
    home, before = up.stack.home, up.stack.supervisord()
    of_replicas = list(home.sockets.glob("*/*.sock"))
    assert len(of_replicas) == 6, "three for each of two"
    sockets = [home.redis_socket, home.bridge_http, home.gateway_egress, home.supervisor_socket, *of_replicas]
    for path in sockets:
        path.unlink()
    wait_for(lambda: [path for path in sockets if not path.exists()], lambda missing: not missing, 120)
    up.is_well()
    up.wait_for_replicas()
    assert up.stack.supervisord() == before


@pytest.mark.parametrize("name", ["gateway", "redis"])
def test_a_program_without_its_launch_file_and_any_of_its_files_starts_again(up: Survivor, name: str) -> None:
    home = up.stack.home
    (home.run / "stack" / f"{name}.json").unlink()
    for folder in (home.run / name, home.gateway):
        if folder.is_dir() and name in folder.parts:
            shutil.rmtree(folder)
    up.came_back(name, up.stack.kill(name))
    up.is_well()
