"""What is wrong with the parts of this console right now, from asking each of them: nothing here is read from rows.

Pages, the REST API, /healthz and the conditions of a service show it. An answer serves for CURRENT seconds, and no part
holds a page for longer than SOON.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.conf import settings

from console import room
from console.addresses import authority, reachable
from console.home import Home
from console.stack import ready
from services.clients.unix_http import UnixConnection
from services.engines.local.supervisor import ProcessInfo, Supervisor
from services.errors import EngineError
from services.gateway import status

CURRENT = 1.0
SOON = 1.5
SWEEP_LOST = 30.0
"""Seconds without a finished sweep, of which there is one every two, after which the console counts as blind."""
WHILE_AWAY = {
    "web": "pages and the REST API are away",
    "worker": "nothing is started, replaced or counted",
    "preheat": "no model files are copied or verified",
    "beat": "nothing is swept: a lost message is not noticed",
    "bridge": "requests over KServe V1, TensorFlow Serving and text over gRPC fail",
    "redis": "changes take effect with the next sweep, seconds later",
    "gateway": "every request is refused",
}
AGAIN = "It is started again by itself; logs/{name}.log says what is in the way."


@dataclass(frozen=True)
class Problem:
    """`part`: disk, gateway, bridge, redis, worker, preheat, beat or supervisor."""

    part: str
    message: str
    hint: str = ""


_lock = threading.Lock()
_last: tuple[float, tuple[Problem, ...]] = (float("-inf"), ())


def problems() -> tuple[Problem, ...]:
    """Every part that is not well, what concerns callers first. Empty when all is well."""
    global _last
    with _lock:
        asked, found = _last
        if time.monotonic() - asked > CURRENT:
            found = _ask()
            _last = time.monotonic(), found
        return found


def of(part: str) -> Problem | None:
    return next((problem for problem in problems() if problem.part == part), None)


def _ask() -> tuple[Problem, ...]:
    home: Home = settings.HOME
    checks: list[Callable[[Home], Problem | None]] = [_gateway, _disk]
    if home.supervisor_conf.exists():  # else `make run` did not start this console, and the parts are somebody else's
        checks += [_bridge, _redis, _sweep]
    with ThreadPoolExecutor(len(checks) + 1) as pool:
        asked = [pool.submit(check, home) for check in checks]
        programs = pool.submit(_programs, home).result() if len(checks) > 2 else []
        found = [problem for future in asked if (problem := future.result()) is not None]
    named = {problem.part for problem in found}
    return (*found, *(problem for problem in programs if problem.part not in named))


def _gateway(home: Home) -> Problem | None:
    host, port = reachable(settings.CONSOLE_BIND), settings.GATEWAY_PORT
    reason = status.unanswered(home.gateway, host, port, SOON)
    if not reason:
        return None
    return Problem("gateway", f"{reason} ({authority(host, port)}).", AGAIN.format(name="gateway"))


def _disk(_home: Home) -> Problem | None:
    problem = room.now().problem
    return Problem("disk", problem.message, problem.hint) if problem else None


def _bridge(home: Home) -> Problem | None:
    connection = UnixConnection(home.bridge_http, SOON)
    try:
        connection.request("GET", "/healthz")
        if connection.getresponse().status == 200:
            return None
    except (OSError, ValueError):
        pass
    finally:
        connection.close()
    return Problem("bridge", f"The bridge does not answer: {WHILE_AWAY['bridge']}.", AGAIN.format(name="bridge"))


def _redis(home: Home) -> Problem | None:
    if not settings.REDIS_URL.endswith(f"//{home.redis_socket}"):
        return None  # another machine's, and its own administrator's
    reply = ready.redis_reply(home.redis_socket, SOON)
    if reply.startswith("+PONG"):
        return None
    if reply.startswith("-MISCONF"):
        return Problem("redis", f"Redis cannot write its file, so it takes nothing: {WHILE_AWAY['redis']}.")
    return Problem("redis", f"Redis does not answer: {WHILE_AWAY['redis']}.", AGAIN.format(name="redis"))


def _sweep(home: Home) -> Problem | None:
    try:
        age = time.time() - home.swept.stat().st_mtime
    except OSError:
        return None  # `make run` makes it before the worker starts
    if age < SWEEP_LOST:
        return None
    return Problem(
        "worker", f"No sweep has ended for {age:.0f} s: {WHILE_AWAY['worker']}.", AGAIN.format(name="worker")
    )


def _programs(home: Home) -> list[Problem]:
    try:
        infos = Supervisor(home.supervisor_socket, SOON).all()
    except EngineError:
        return [Problem(
            "supervisor", "The process supervisor does not answer: no replica is started or stopped.",
            "The command that started the console starts it again; if that has ended, start it with `make run`.",
        )]  # fmt: skip
    return [
        Problem(info.name, f"{info.name.capitalize()} does not run: {WHILE_AWAY[info.name]}.",
                AGAIN.format(name=info.name))
        for info in infos if info.name in WHILE_AWAY and not _runs(info)
    ]  # fmt: skip


def _runs(info: ProcessInfo) -> bool:
    return info.state in {"RUNNING", "STARTING"}
