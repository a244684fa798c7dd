"""`python -m bench.box`: what the box of a replica costs, and what unix sockets do. Needs `make runtime-triton`.

The example's Triton, taking turns: in a box on unix sockets, on unix sockets, and on ports of loopback. Each round
starts it anew, and then sends it one request after the other over one connection.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from console.first_run import example
from services.clients.probes import kserve_v2
from services.clients.probes.exchange import connect
from services.engines.local import sandboxes, seccomp
from services.engines.local.box import SITE, Box
from services.engines.local.launch import KEEPER
from services.frameworks.triton.launch import render
from services.listeners import WORKING_DIRECTORY, Address, Listeners
from tests.servers.replica import free_listeners, write_files
from tests.servers.triton import context_for, make_samples, runtime_root

BOX, SOCKETS, PORTS = "in a box, on unix sockets", "on unix sockets", "on ports of loopback"
WARM_UP = 50


@dataclass
class Figures:
    start: list[float] = field(default_factory=list)
    """Seconds until it was ready."""
    rate: list[float] = field(default_factory=list)
    """Requests a second."""
    p50: list[float] = field(default_factory=list)
    """Milliseconds."""
    cpu: list[float] = field(default_factory=list)
    """Microseconds of the server's CPU for each request."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the box of a replica, and unix sockets beside ports.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=3000)
    options = parser.parse_args()
    if why := sandboxes.problem():
        sys.exit(f"This machine makes no box: {why}")
    figures = {BOX: Figures(), SOCKETS: Figures(), PORTS: Figures()}
    with tempfile.TemporaryDirectory(prefix="bench-box-", dir="/tmp") as folder:
        tree = make_samples(runtime_root(), Path(folder) / "samples") / "mnist-svm"
        for number in range(-1, options.rounds):  # the first one brings files and libraries into memory
            for how in list(figures)[:: 1 if number % 2 else -1]:
                into = figures[how] if number >= 0 else Figures()
                once(how, tree, Path(folder) / f"r{number}", options.requests, into)
    print(f"{os.cpu_count()} CPUs, {options.rounds} rounds of {options.requests} requests; median (range)")
    for how, measured in figures.items():
        columns = [say(measured.start, "s"), say(measured.rate, "requests/s", 0), say(measured.p50, "ms", 3)]
        print(f"{how}: ready in {', '.join(columns)}, {say(measured.cpu, 'us CPU', 0)}")


def say(values: Sequence[float], unit: str, digits: int = 2) -> str:
    low, middle, high = (round(value, digits) for value in (min(values), statistics.median(values), max(values)))
    return f"{middle:g} ({low:g} to {high:g}) {unit}"


def once(how: str, tree: Path, root: Path, requests: int, into: Figures) -> None:
    run_dir, runtime = root / "run", runtime_root()
    (root / "s").mkdir(parents=True)
    listeners = free_listeners() if how == PORTS else WORKING_DIRECTORY
    site = SITE.run_dir if how == BOX else run_dir
    context = context_for(example.NAME, tree, site, runtime, listeners)
    launch = render(replace(context, models=SITE.models) if how == BOX else context)
    write_files(launch.files, launch.links, run_dir)
    shown = Listeners.in_folder(root / "s")
    document = {
        "argv": list(launch.argv),
        "env": dict(launch.env),
        "folder": str(run_dir),
        "sockets": {name: getattr(shown, key).path for key, name in launch.sockets.items()},
        "box": list(Box(run_dir, tree, runtime, launch.shared_memory_mib).command()) if how == BOX else [],
        "seccomp": base64.b64encode(seccomp.program()).decode() if how == BOX else "",
    }
    (root / "launch.json").write_text(json.dumps({"replica": document}))
    address = listeners.http if how == PORTS else shown.http
    command = [sys.executable, "-IS", str(KEEPER), str(root / "launch.json")]
    began = time.monotonic()
    with (root / "log").open("wb") as log:
        keeper = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        while not kserve_v2.probe(address, example.NAME, 2).ready:
            time.sleep(0.01)
        into.start.append(time.monotonic() - began)
        measure(address, keeper.pid, requests, into)
    finally:
        os.killpg(keeper.pid, signal.SIGKILL)
        keeper.wait()
        while any(process.is_running() for process in psutil.process_iter() if str(run_dir) in words(process)):
            time.sleep(0.05)
        shutil.rmtree(root)


def words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def measure(address: Address, keeper: int, requests: int, into: Figures) -> None:
    connection = connect(address, 30)
    times = []
    for _ in range(WARM_UP):
        ask(connection)
    before, began = cpu(keeper), time.perf_counter()
    for _ in range(requests):
        sent = time.perf_counter()
        ask(connection)
        times.append(time.perf_counter() - sent)
    into.rate.append(requests / (time.perf_counter() - began))
    into.cpu.append((cpu(keeper) - before) / requests * 1e6)
    into.p50.append(statistics.median(times) * 1e3)
    connection.close()


def ask(connection: http.client.HTTPConnection) -> None:
    connection.request("POST", f"/v2/models/{example.NAME}/infer", json.dumps(example.body()))
    answer = connection.getresponse()
    assert json.loads(answer.read())["outputs"][0]["data"] == [8], answer.status


def cpu(pid: int) -> float:
    """Seconds of a process and all below it."""
    times = [process.cpu_times() for process in psutil.Process(pid).children(recursive=True)]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    main()
