"""What a replica leaves in its run directory leads neither the console nor the gateway anywhere else."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from services.engines.local import LocalEngine, box
from services.errors import EngineError
from services.specs import Launch, ReplicaSpec
from tests.integration.engine_home import wait_for
from tests.integration.sandbox.outside import ENVIRONMENT, OTHER, Outside, python
from tests.servers.triton import runtime_root

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("sandbox")]

NAME: Final = "svc-planter-r1-0"
SOCKETS: Final = {"http": "http.sock", "grpc": "grpc.sock:0", "metrics": "metrics.sock"}
SERVES: Final = Launch((), ENVIRONMENT, sockets=SOCKETS)
FILES: Final = {"start.sh": b"first", "tmp/.keep": b"", "repository/m/config.pbtxt": b"first"}
LINKS: Final = {"repository/m/1/model.py": box.SITE.models / "model.py"}
HAS_FILES: Final = Launch((), ENVIRONMENT, FILES, LINKS)
PLANTS: Final = """
import json, os, shutil, socket, sys, time

def free(name):
    if os.path.isdir(name) and not os.path.islink(name):
        shutil.rmtree(name)
    elif os.path.lexists(name):
        os.unlink(name)

def plant(name, target):
    free(name)
    os.symlink(target, name)

def serve(name, greeting):
    free(name)
    server = socket.socket(socket.AF_UNIX)
    server.bind(name)
    server.listen()
    return server, greeting

def answer(server, greeting):
    while True:
        client, _ = server.accept()
        client.sendall(greeting)
        client.close()

links = json.loads(sys.argv[1])
"""
READY: Final = "open('planted', 'w').close()\n"


@pytest.fixture
def bait(world: Outside) -> Iterator[Path]:
    """Another team's model, laid out as a run directory is."""
    folder = world.home.store / "bait"
    for name in ("m/config.pbtxt", "m/1/model.py", ".keep", "start.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("the other team's")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def ended(engine: LocalEngine, world: Outside) -> Iterator[None]:
    yield
    engine.stop(NAME)
    shutil.rmtree(world.home.replicas / NAME, ignore_errors=True)


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (path.read_text() if path.is_file() else "", path.lstat().st_mode)
        for path in folder.rglob("*")
    }


def start(
    world: Outside, engine: LocalEngine, code: str, links: dict[str, str], launch: Launch = SERVES
) -> ReplicaSpec:
    """Returns when the program has planted."""
    tree = world.home.store / "planter"
    tree.mkdir(exist_ok=True)
    argv = (str(python()), "-c", PLANTS + code, json.dumps(links))
    run_dir = world.home.replicas / NAME
    spec = ReplicaSpec(NAME, run_dir, replace(launch, argv=argv), tree, runtime_root(), start_seconds=1)
    engine.apply(spec)
    try:
        wait_for((run_dir / "planted").exists, bool, 30)
    except AssertionError:
        raise AssertionError(engine.logs(NAME).text) from None
    return spec


def greeting(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        return client.recv(80)


def test_a_link_in_the_place_of_a_socket_never_becomes_the_gateways(world: Outside, engine: LocalEngine) -> None:
    links = {"http.sock": world.targets["sockets"]["redis"], "grpc.sock:0": engine.listeners(OTHER).http.path}
    code = f"""
for name, target in links.items():
    plant(name, target)
{READY}
time.sleep(0.5)
answer(*serve("metrics.sock", b"its own"))
"""
    start(world, engine, code, links)
    listeners = engine.listeners(NAME)
    wait_for(lambda: os.path.lexists(listeners.metrics.path), bool)  # by then the others were looked at, too
    assert greeting(listeners.metrics.path) == b"its own"
    assert [path.name for path in Path(listeners.http.path).parent.iterdir()] == ["metrics.sock"]


def test_a_name_that_changes_all_the_time_is_a_socket_of_the_replica_or_nothing(
    world: Outside, engine: LocalEngine
) -> None:
    links = {"http.sock": engine.listeners(OTHER).http.path}
    code = f"""
import threading
def flip():
    while True:
        server = socket.socket(socket.AF_UNIX)
        free("mine")
        server.bind("mine")
        server.listen()
        threading.Thread(target=answer, args=(server, b"its own"), daemon=True).start()
        os.symlink(links["http.sock"], "theirs")
        for name in ("mine", "theirs"):
            os.rename(name, "http.sock")
            time.sleep(0.0005)
        server.shutdown(socket.SHUT_RDWR)
threading.Thread(target=flip).start()
{READY}
"""
    start(world, engine, code, links)
    folder = Path(engine.listeners(NAME).http.path).parent
    kinds, deadline = set(), time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            kinds.add(stat.S_IFMT((folder / "http.sock").lstat().st_mode))
            assert greeting(str(folder / "http.sock")) in (b"its own", b"")
        except OSError:
            continue
    assert kinds == {stat.S_IFSOCK}


def test_a_socket_of_its_own_in_the_place_of_the_servers_leads_to_the_replica_only(
    world: Outside, engine: LocalEngine
) -> None:
    code = f"""
server = serve("http.sock", b"its own")
{READY}
answer(*server)
"""
    start(world, engine, code, {})
    shown = engine.listeners(NAME).http.path
    wait_for(lambda: os.path.lexists(shown), bool)
    assert greeting(shown) == b"its own"
    assert os.path.samestat(os.lstat(shown), (world.home.replicas / NAME / "http.sock").lstat())
    assert greeting(engine.listeners(OTHER).http.path) == b"another replica"


@pytest.mark.parametrize("again", [False, True], ids=["once", "all the time"])
def test_links_in_the_run_directory_lead_no_launch_and_no_stop_outside(
    world: Outside, engine: LocalEngine, bait: Path, again: bool
) -> None:
    before = snapshot(bait)
    links = {"start.sh": str(bait / "start.sh"), "repository": str(bait), "tmp": str(bait)}
    code = f"""
while True:
    for name, target in links.items():
        try:
            plant(name, target)
        except OSError:
            pass
    {READY.strip()}
    time.sleep({0 if again else 600})
"""
    spec = start(world, engine, code, links, HAS_FILES)
    assert all((spec.run_dir / name).is_symlink() for name in ("start.sh", "repository", "tmp")) or again
    changed = (
        replace(spec.launch, files={**FILES, "start.sh": b"second", "repository/m/config.pbtxt": b"second"}),
        replace(spec.launch, files={"tmp/.keep": b"x", "repository/m/1/model.py": b"third"}, links={}),
        replace(spec.launch, links={"repository/m/1": box.SITE.models, "tmp/.keep": box.SITE.models}, files={}),
    )
    for launch in changed:
        (spec.run_dir / "planted").unlink(missing_ok=True)
        try:
            engine.apply(replace(spec, launch=launch))
        except EngineError:
            assert again  # a folder that changes under the hand is refused
        wait_for((spec.run_dir / "planted").exists, bool, 30)
        assert snapshot(bait) == before
    engine.stop(NAME)
    shutil.rmtree(spec.run_dir)
    assert snapshot(bait) == before


def test_what_a_launch_needs_replaces_what_was_planted(world: Outside, engine: LocalEngine, bait: Path) -> None:
    links = {"start.sh": str(bait / "start.sh"), "repository": str(bait), "tmp": str(bait)}
    code = f"""
if os.path.exists("planted"):
    open("second", "w").close()
else:
    for name, target in links.items():
        plant(name, target)
{READY}
time.sleep(600)
"""
    spec = start(world, engine, code, links, HAS_FILES)
    engine.apply(replace(spec, launch=replace(spec.launch, files={**FILES, "start.sh": b"second"})))
    wait_for((spec.run_dir / "second").exists, bool, 30)
    assert (spec.run_dir / "start.sh").read_bytes() == b"second"
    assert not any((spec.run_dir / name).is_symlink() for name in ("start.sh", "repository", "tmp"))
    assert (spec.run_dir / "repository/m/config.pbtxt").read_bytes() == b"first"
    assert (spec.run_dir / "repository/m/1/model.py").readlink() == LINKS["repository/m/1/model.py"]


def test_the_launch_file_of_a_replica_is_not_where_it_could_change_it(world: Outside, engine: LocalEngine) -> None:
    """It holds the very command that makes the box."""
    start(world, engine, f"{READY}\ntime.sleep(600)", {})
    launch = world.home.programs / f"{NAME}.json"
    assert not launch.resolve().is_relative_to(world.home.replicas / NAME)
    assert stat.S_IMODE(launch.stat().st_mode) == 0o600
    assert json.loads(launch.read_text())["replica"]["box"]
