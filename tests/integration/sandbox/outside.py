"""What a replica must not reach: a home with its secrets, sockets, ports, a process, another team's replica."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from console.home import CHECKOUT, Home
from console.stack.process import SupervisorProcess
from services.engines.local import LocalEngine, seccomp
from services.gateway.envoy import names
from services.specs import Launch, ReplicaSpec
from tests.integration.engine_home import running, short_home, wait_for
from tests.integration.sandbox.network import ELSEWHERE, INTERFACE, METADATA, own_network
from tests.servers.triton import runtime_root

OTHER: Final = "svc-other-r1-0"
ENVIRONMENT: Final = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}
SHELL_VARIABLES: Final = ("PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE")
"""What a shell, bubblewrap and Python set by themselves."""
SERVES = """
import socket, threading
server = socket.socket(socket.AF_UNIX)
server.bind("http.sock")
server.listen()
open("private", "w").write({secret!r})
while True:
    client, _ = server.accept()
    client.sendall({greeting!r}.encode())
    client.close()
"""
VICTIM = """
import ctypes, json, os, sys, time
secret = os.environ["SECRET"].encode()
buffer = ctypes.create_string_buffer(secret)
descriptor = os.memfd_create("secret")
os.write(descriptor, secret)
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_long(-1), 0, 0, 0)  # where Yama asks: any process may trace this one
print(json.dumps({"address": ctypes.addressof(buffer), "descriptor": descriptor}), flush=True)
time.sleep(86400)
"""


@dataclass(frozen=True)
class Outside:
    home: Home
    supervisor: SupervisorProcess
    secret: str
    targets: dict[str, Any]
    no_network: str
    """Why the test has no network of its own, in which there may be a metadata service; "" when it has."""

    def engine(self, sandbox: str) -> LocalEngine:
        return LocalEngine(self.home, sandbox)


@contextmanager
def outside() -> Iterator[Outside]:
    with ExitStack() as stack:
        home = stack.enter_context(short_home("hb-"))
        no_network = stack.enter_context(own_network())
        secret = f"secret-{secrets.token_hex(8)}"
        supervisor = stack.enter_context(running(home))
        engine = LocalEngine(home)
        engine.apply(other_replica(home, secret))
        stack.callback(stop_all, engine)
        sockets = unix_sockets(home)
        stack.enter_context(listening(secret, sockets))
        shown = engine.listeners(OTHER).http.path
        wait_for(lambda: Path(shown).exists(), bool)
        targets = {
            "secret": secret,
            "home": str(home.root),
            "files": secret_files(home, secret),
            "sockets": {
                **sockets,
                "supervisord": str(home.supervisor_socket),
                "other_replica": shown,
                "other_replica_by_its_folder": str(home.replicas / OTHER / "http.sock"),
            },
            "ports": stack.enter_context(ports(secret, has_network=not no_network)),
            "abstract": stack.enter_context(abstract_socket(secret)),
            "supervisord": supervisor.pid,
            "key": stack.enter_context(segment()),
            "interfaces": [INTERFACE]
            if not no_network
            else [name for _, name in socket.if_nameindex() if name != "lo"],
            "host": socket.gethostname(),
            "calls": seccomp.refused(os.uname().machine),
            **stack.enter_context(victim(secret)),
        }
        stack.enter_context(shared_memory(targets))
        yield Outside(home, supervisor, secret, targets, no_network)


def stop_all(engine: LocalEngine) -> None:
    for name in engine.names():
        engine.stop(name)


def other_replica(home: Home, secret: str) -> ReplicaSpec:
    """Another team's, in a box of its own. Its key is in its environment."""
    tree = home.store / "other"
    tree.mkdir(parents=True)
    (tree / "weights").write_text(secret)
    code = SERVES.format(secret=secret, greeting="another replica")
    launch = Launch((str(python()), "-c", code), {**ENVIRONMENT, "KEY": secret}, sockets={"http": "http.sock"})
    return ReplicaSpec(OTHER, home.replicas / OTHER, launch, tree, runtime_root(), start_seconds=1)


def python() -> Path:
    return runtime_root() / "bin" / "python"


def secret_files(home: Home, secret: str) -> dict[str, str]:
    files = {
        "secret_key": home.secret_key,
        "secrets_key": home.secrets_key,
        "database": home.database,
        "credentials": home.credentials,
        "gateway_keys": home.gateway / "keys.json",
    }
    for path in files.values():
        path.parent.mkdir(exist_ok=True)
        path.write_text(secret)
        path.chmod(0o600)
    private = home.replicas / OTHER / "private"
    wait_for(private.exists, bool)
    files |= {
        "other_model": home.store / "other" / "weights",
        "other_launch": home.programs / f"{OTHER}.json",
        "other_run_dir": private,
        "supervisor_conf": home.supervisor_conf,
        "log_of_another": home.logs / "replicas" / f"{OTHER}.log",
        "console_code": CHECKOUT / "manage.py",
    }
    files["log_of_another"].open("a").write(secret)
    return {name: str(path) for name, path in files.items()}


def unix_sockets(home: Home) -> dict[str, str]:
    """Those of the stack, where it has them."""
    paths = {
        "redis": home.redis_socket,
        "envoy_admin": home.gateway / names.ADMIN_SOCKET,
        "envoy_egress": home.gateway_egress,
        "bridge_http": home.bridge_http,
        "bridge_grpc": home.bridge_grpc,
    }
    return {name: str(path) for name, path in paths.items()}


@contextmanager
def listening(secret: str, paths: dict[str, str]) -> Iterator[None]:
    with ExitStack() as stack:
        for path in paths.values():
            Path(path).parent.mkdir(exist_ok=True)
            stack.enter_context(listener(socket.AF_UNIX, path))
        yield


@contextmanager
def listener(family: int, address: Any) -> Iterator[Any]:
    """It accepts by itself: what connects has connected."""
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind(address)
        server.listen(64)
        yield server.getsockname()


@contextmanager
def ports(secret: str, *, has_network: bool) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        threading.Thread(target=_answer, args=(datagrams, secret), daemon=True).start()
        addresses = {
            "console": (socket.AF_INET, "127.0.0.1"),
            "gateway": (socket.AF_INET, "0.0.0.0"),
            "console_v6": (socket.AF_INET6, "::1"),
        }
        if has_network:
            addresses |= {"metadata": (socket.AF_INET, METADATA), "gateway_elsewhere": (socket.AF_INET, ELSEWHERE)}
        bound = {
            name: list(stack.enter_context(listener(family, (host, 80 if name == "metadata" else 0)))[:2])
            for name, (family, host) in addresses.items()
        }
        bound["gateway"][0] = "127.0.0.1"
        yield {**bound, "datagram": list(datagrams.getsockname())}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", datagrams.getsockname())


def _answer(server: socket.socket, secret: str) -> None:
    while True:
        question, sender = server.recvfrom(80)
        if not question:
            return
        server.sendto(secret.encode(), sender)


@contextmanager
def abstract_socket(secret: str) -> Iterator[str]:
    name = f"console-{secrets.token_hex(8)}"
    with listener(socket.AF_UNIX, f"\0{name}"):
        yield name


@contextmanager
def segment() -> Iterator[int]:
    """One of System V's shared memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    key = secrets.randbelow(1 << 30) + 1
    number = libc.shmget(key, 4096, 0o1600)
    assert number >= 0, os.strerror(ctypes.get_errno())
    try:
        yield key
    finally:
        libc.shmctl(number, 0, None)


@contextmanager
def shared_memory(targets: dict[str, Any]) -> Iterator[None]:
    path = Path("/dev/shm") / f"console-{secrets.token_hex(8)}"
    path.write_text(targets["secret"])
    targets["files"]["shared_memory_of_another"] = str(path)
    try:
        yield
    finally:
        path.unlink()


@contextmanager
def victim(secret: str) -> Iterator[dict[str, Any]]:
    """A process outside, with the secret in its memory, environment and command, and in a file that only it has."""
    command = [sys.executable, "-IS", "-c", VICTIM, secret]
    process = subprocess.Popen(command, env={"SECRET": secret}, stdout=subprocess.PIPE)
    assert process.stdout
    try:
        yield {**json.loads(process.stdout.readline()), "pid": process.pid}
        assert process.poll() is None, "something ended the process outside"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
