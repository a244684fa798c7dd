"""The servers under measurement, as the product starts them: Triton from the framework's Launch, Envoy from the
gateway's rendered files. Each is ended by its own pid when the stack of contexts that holds it closes.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from bench.plain import plain_bootstrap
from console import home
from console.stack import example
from services.frameworks.triton import launch, runtime
from services.gateway import keys
from services.gateway.binary import argv, find_envoy
from services.gateway.publish import deliver, prepare
from services.gateway.snapshot import Endpoint, GatewayKey, GatewayService, Snapshot
from services.specs import LaunchContext, Ports, ServiceSpec

HOST = "127.0.0.1"
TEAM = "bench"
KEYS = 100
START_SECONDS = 120.0


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def process(
    command: tuple[str, ...], directory: Path, ready: Callable[[], bool], env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Started, `ready`, and ended with the block. Raises RuntimeError with the end of its log when it is not."""
    log = directory / "log.txt"
    with log.open("ab") as output:
        running = subprocess.Popen(
            command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if running.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{Path(command[0]).name} did not start:\n{said}")
            time.sleep(0.05)
        yield running
    finally:
        end(running)


def end(running: subprocess.Popen[bytes]) -> None:
    if running.poll() is None:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(5)
    # What it started itself, for example the watch of Triton's start script, is in its group.
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def answers(url: str) -> Callable[[], bool]:
    def look() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except OSError:
            return False

    return look


@contextmanager
def triton(root: Path, directory: Path) -> Iterator[tuple[Endpoint, Callable[[], dict[str, list[int]]]]]:
    """One replica of the example service, with the resources that `make run` gives it. `root` is the runtime."""
    runtime.prepare(root)
    samples = directory / "samples"
    script = home.CHECKOUT / "datasets" / "samples" / "generate.py"
    subprocess.run([runtime.locate(root).python, "-P", script, samples], check=True, capture_output=True, timeout=300)
    run_dir = directory / "replica"
    ports = Ports(*free_ports(3))
    spec = ServiceSpec(framework="triton", dataset="samples", model_path="mnist-svm", queue="default")
    made = launch.render(LaunchContext(example.NAME, samples / "mnist-svm", run_dir, ports, spec, root))
    for name, content in made.files.items():
        (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / name).write_bytes(content)
    for name, target in made.links.items():
        (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / name).symlink_to(target)
    ready = answers(f"http://{HOST}:{ports.http}/v2/health/ready")
    with process(made.argv, run_dir, ready, made.env) as running:

        def pids() -> dict[str, list[int]]:
            children = psutil.Process(running.pid).children(recursive=True)
            model = [child.pid for child in children if "python_backend_stub" in " ".join(child.cmdline())]
            return {"triton": [running.pid], "model": model}

        yield Endpoint(HOST, ports.http, ports.grpc), pids


@contextmanager
def gateway(directory: Path, replica: Endpoint) -> Iterator[tuple[int, int, str]]:
    """Port, pid and a key that may call the service: one of many keys, as in a team's daily life."""
    made = [keys.generate() for _ in range(KEYS)]
    snapshot = Snapshot(
        services=(GatewayService(example.NAME, TEAM, public=False, ready=True, message="", endpoints=(replica,)),),
        keys=tuple(GatewayKey(key.id, key.digest, TEAM) for key in made),
    )
    files = directory / "gateway"
    port = free_ports(1)[0]
    prepare(files, host=HOST, port=port, limits=snapshot.limits)
    deliver(lambda: snapshot, files, find_envoy())
    ready = answers(f"http://{HOST}:{port}/v2/health/ready")
    with process(tuple(argv(files, find_envoy())), files, ready) as running:
        yield port, running.pid, made[KEYS // 2].key


@contextmanager
def plain(directory: Path, answer: Mapping[str, bytes]) -> Iterator[tuple[int, int]]:
    """Port and pid of an Envoy that gives these fixed answers itself: what the load generator can reach at most."""
    files = directory / "plain"
    files.mkdir()
    port = free_ports(1)[0]
    (files / "bootstrap.json").write_bytes(plain_bootstrap(HOST, port, answer))
    with process(tuple(argv(files, find_envoy())), files, answers(f"http://{HOST}:{port}/ready")) as running:
        yield port, running.pid
