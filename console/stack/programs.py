"""What the stack consists of, as data: redis, web, workers, beat, bridge. Pure; the gateway's own is in gateway.py.

Replicas are no part of this: the local engine adds them while the stack runs.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from console.home import CHECKOUT, Home

REDIS = "redis"
CONTROL = ("beat", "worker", "preheat", "web")
"""These decide things; they end first, so that nobody starts again what is being stopped."""
NEVER_GIVE_UP = 1_000_000
"""The stack's own programs are started again for ever; a person reads of it in the output of `make run`."""

CELERY = (sys.executable, "-m", "celery", "-A")
IMPORT_SECONDS = 5
"""One of our Django processes that ends within this time could not even load its code: supervisord then waits longer
and longer between tries, instead of keeping a core busy."""


@dataclass(frozen=True)
class Doors:
    """Where the stack listens."""

    bind: str
    console_port: int
    gateway_port: int


@dataclass(frozen=True)
class StackProgram:
    name: str
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment that `manage.py run` was started with."""
    sockets: tuple[Path, ...] = ()
    """Socket files that it makes at its start. One that lost them runs, and is of no use to anybody."""
    priority: int = 100
    start_seconds: int = 1
    stop_seconds: int = 10

    def launch(self, folder: Path) -> dict[str, Any]:
        """The launch file for console/stack/child.py."""
        return {
            "argv": list(self.argv),
            "env": dict(self.env),
            "cwd": str(self.cwd),
            "inherit_env": True,
            "lock": str(folder / f"{self.name}.lock"),
        }

    def digest(self) -> str:
        document = {**asdict(self), "cwd": str(self.cwd), "env": dict(self.env), "sockets": None}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def control_plane(home: Home, doors: Doors, redis_server: str) -> list[StackProgram]:
    env = environment(home, doors)
    return [
        redis(home, redis_server),
        StackProgram(
            "web",
            (
                *(sys.executable, "-m", "uvicorn", "console.asgi:application"),
                *("--host", doors.bind, "--port", str(doors.console_port), "--lifespan", "off"),
                # What proxies say is read in console/web/proxies.py.
                *("--no-access-log", "--no-server-header", "--no-proxy-headers", "--timeout-graceful-shutdown", "5"),
            ),
            CHECKOUT,
            env,
            start_seconds=IMPORT_SECONDS,
        ),
        worker("worker", "default", 8, env),
        # What copies and reads files may take hours: in a process of its own it never keeps the control loop waiting.
        # Its threads are those of datasets/jobs/seats.py and of one reader, and some for what is short.
        worker("preheat", "preheat", 12, env),
        StackProgram(
            "beat",
            # No pid file: after a kill -9 it would keep the next one from starting.
            (*CELERY, "console.beat", "beat", "--pidfile=", "-s", str(home.run / "beat-schedule"), "-l", "WARNING"),
            CHECKOUT,
            env,
            start_seconds=IMPORT_SECONDS,
        ),
        bridge(home),
    ]


def worker(name: str, queue: str, threads: int, env: Mapping[str, str]) -> StackProgram:
    """Threads, not processes: a worker that is killed leaves no child behind."""
    argv = (
        *(*CELERY, "console.celery", "worker", "--pool=threads", f"--concurrency={threads}", "-Q", queue),
        *("-n", f"{name}@%h", "--without-gossip", "--without-mingle", "-l", "INFO"),
    )
    # Django's checks are those of the code, and would load all pages and the REST API.
    return StackProgram(name, argv, CHECKOUT, {**env, "CELERY_SKIP_CHECKS": "1"}, start_seconds=IMPORT_SECONDS)


def bridge(home: Home) -> StackProgram:
    """On unix sockets in a folder of the owner's. Its command line names all that it reads: it knows no database."""
    argv = (
        *(sys.executable, "-m", "services.bridge", "--folder", str(home.bridge)),
        *("--table", str(home.bridge_table), "--egress", str(home.gateway_egress)),
    )
    # What is under way gets 20 s to end (services/bridge/process.py).
    sockets = (home.bridge_http, home.bridge_grpc)
    return StackProgram("bridge", argv, CHECKOUT, {"PYTHONUNBUFFERED": "1"}, stop_seconds=25, sockets=sockets)


def redis(home: Home, server: str) -> StackProgram:
    """On a unix socket only, and with an append-only file: a message that was accepted survives a kill -9.

    The kernel chooses when the file goes to the disk. With "everysec" Redis answers before it has written while its
    own sync runs, which takes long on a busy disk: killed then, it loses what it accepted. A message that a power cut
    takes is made up for by the next sweep.
    """
    options = {
        "port": "0",
        "unixsocket": str(home.redis_socket),
        "unixsocketperm": "700",
        "dir": str(redis_directory(home)),
        "appendonly": "yes",
        "appendfsync": "no",
        "save": "",
        "daemonize": "no",
    }
    argv = [server, *(part for name, text in options.items() for part in (f"--{name}", text))]
    return StackProgram(REDIS, tuple(argv), redis_directory(home), priority=1, sockets=(home.redis_socket,))


def redis_directory(home: Home) -> Path:
    return home.run / "redis"


def environment(home: Home, doors: Doors) -> dict[str, str]:
    """What our own Python programs need so that they come to the same paths and ports as `manage.py run`."""
    return {
        "CONSOLE_HOME": str(home.root),
        "CONSOLE_RUNTIMES": str(home.runtimes),
        "CONSOLE_BIND": doors.bind,
        "CONSOLE_PORT": str(doors.console_port),
        "GATEWAY_PORT": str(doors.gateway_port),
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "PYTHONUNBUFFERED": "1",
    }
