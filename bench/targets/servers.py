"""The servers under measurement, as the product starts them: Triton from the framework's Launch, Envoy from the
gateway's rendered files. Each is ended by its own pid when the stack of contexts that holds it closes.

Only that replicas listen on ports here, not on sockets: the generators measure them at the same place as the gateway.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.targets.plain import bare_bootstrap, plain_bootstrap
from bench.targets.requests import Call, headers
from console import home
from console.first_run import example
from services.frameworks.triton import launch, runtime
from services.gateway import credentials
from services.gateway.binary import argv, find_envoy
from services.gateway.publish import deliver, prepare
from services.gateway.snapshot import Endpoint, Snapshot
from services.listeners import Listeners
from services.specs import Launch, LaunchContext, ServiceSpec

HOST = "127.0.0.1"
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


def free_listeners() -> Listeners:
    http, grpc, metrics = free_ports(3)
    return Listeners.on_ports(http, grpc, metrics, HOST)


def endpoint(http: int, grpc: int) -> Endpoint:
    """A replica that has these ports."""
    listeners = Listeners.on_ports(http, grpc, 0, HOST)
    return Endpoint(listeners.http, listeners.grpc)


@contextmanager
def process(
    command: tuple[str, ...],
    directory: Path,
    ready: Callable[[], bool],
    env: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
    given: str = "",
    patience: float = START_SECONDS,
) -> Iterator[subprocess.Popen[bytes]]:
    """Started, `ready`, and ended with the block. Raises RuntimeError with the end of its log when it is not.

    `directory` has its log and is where it runs, unless `cwd` says otherwise; `given` is what it reads on stdin.
    """
    log = directory / "log.txt"
    with log.open("ab") as output, tempfile.TemporaryFile() as stdin:
        stdin.write(given.encode())
        stdin.seek(0)
        running = subprocess.Popen(
            command, cwd=cwd or directory, env=env, stdin=stdin, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + patience
        while not ready():
            if running.poll() is not None or time.monotonic() > deadline:
                log_text = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{Path(command[0]).name} did not start:\n{log_text}")
            time.sleep(0.05)
        yield running
    finally:
        end(running)


def end(running: subprocess.Popen[bytes]) -> None:
    if running.poll() is None:
        running.terminate()
        running.send_signal(signal.SIGCONT)  # a generator that died may have left it stopped
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(5)
    # What it started itself, for example the watch of Triton's start script, is in its group.
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def answers(url: str) -> Callable[[], bool]:
    def listens() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except OSError:
            return False

    return listens


def wait_for_service(port: int, call: Call, key: str | None, seconds: float = 30.0) -> None:
    """Until the gateway has found the service's replicas healthy: any answer but 404 and 503."""
    deadline = time.monotonic() + seconds
    while status_of(port, call, key) in (0, 404, 503):
        if time.monotonic() > deadline:
            raise RuntimeError(f"The gateway does not send {call.name} to its service.")
        time.sleep(0.02)


def status_of(port: int, call: Call, key: str | None) -> int:
    """HTTP status of one request over HTTP/1.1; 0 when there is none."""
    if call.wire == "gRPC":
        raise ValueError("Ask over REST: both lead to the same replicas.")
    request = urllib.request.Request(f"http://{HOST}:{port}{call.path}", call.body, headers(call, key))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def materialise(rendered: Launch, run_dir: Path) -> None:
    """The files and links that a replica is started with, as an engine makes them."""
    for name, content in rendered.files.items():
        (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / name).write_bytes(content)
    for name, target in rendered.links.items():
        (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / name).symlink_to(target)


@contextmanager
def triton(root: Path, directory: Path) -> Iterator[tuple[Endpoint, Callable[[], dict[str, list[int]]]]]:
    """One replica of the example service, with the resources that `make run` gives it. `root` is the runtime."""
    runtime.prepare(root)
    samples = directory / "samples"
    script = home.CHECKOUT / "datasets" / "samples" / "generate.py"
    subprocess.run([runtime.locate(root).python, "-P", script, samples], check=True, capture_output=True, timeout=300)
    run_dir = directory / "replica"
    listeners = free_listeners()
    spec = ServiceSpec(framework="triton", dataset="samples", model_path="mnist-svm", queue="default")
    tree = samples / "mnist-svm"
    rendered = launch.render(LaunchContext(example.NAME, tree, spec, root, tree, run_dir, listeners))
    materialise(rendered, run_dir)
    ready = answers(f"http://{listeners.http}/v2/health/ready")
    with process(rendered.argv, run_dir, ready, rendered.env) as running:

        def pids() -> dict[str, list[int]]:
            children = psutil.Process(running.pid).children(recursive=True)
            model = [child.pid for child in children if "python_backend_stub" in " ".join(child.cmdline())]
            return {"triton": [running.pid], "model": model}

        yield Endpoint(listeners.http, listeners.grpc), pids


def publish(snapshot: Snapshot, directory: Path) -> None:
    """Services and keys, as the console does."""
    credentials.deliver(snapshot.for_keys, directory)
    deliver(lambda: snapshot, directory, find_envoy())


@contextmanager
def gateway(directory: Path, snapshot: Snapshot, *, workers: int | None = None) -> Iterator[Gateway]:
    """The product's own gateway, told this. `workers`: threads; the product's own number by default."""
    port = free_ports(1)[0]
    prepare(directory, host=HOST, port=port, limits=snapshot.limits)
    publish(snapshot, directory)
    ready = answers(f"http://{HOST}:{port}/v2/health/ready")
    with process(tuple(argv(directory, find_envoy(), concurrency=workers)), directory, ready) as running:
        yield Gateway(directory, port, running.pid)


@dataclass(frozen=True)
class Gateway:
    directory: Path
    port: int
    pid: int


@contextmanager
def bare(directory: Path, backend_port: int, *, http2: bool) -> Iterator[tuple[int, int]]:
    """Port and pid of an Envoy that does nothing but forward to this backend, with as many workers as the gateway."""
    files = directory / f"bare-{backend_port}"
    files.mkdir()
    port = free_ports(1)[0]
    (files / "bootstrap.json").write_bytes(bare_bootstrap(HOST, port, backend_port, http2=http2))

    def ready() -> bool:
        with suppress(OSError), socket.create_connection((HOST, port), 1):
            return True
        return False

    with process(tuple(argv(files, find_envoy())), files, ready) as running:
        yield port, running.pid


@contextmanager
def plain(directory: Path, calls: Sequence[Call]) -> Iterator[tuple[int, int]]:
    """Port and pid of an Envoy that gives fixed answers itself: what the load generator can reach at most."""
    files = directory / "plain"
    files.mkdir()
    port = free_ports(1)[0]
    (files / "bootstrap.json").write_bytes(plain_bootstrap(HOST, port, calls))
    with process(tuple(argv(files, find_envoy())), files, answers(f"http://{HOST}:{port}/ready")) as running:
        yield port, running.pid
