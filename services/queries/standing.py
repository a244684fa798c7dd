"""What is wrong with the parts of this console right now, from asking each of them: nothing here is read from rows.

Pages, the REST API, /healthz and the conditions of a service show it. An answer serves for CURRENT seconds, and all
parts together hold a page for at most LATEST: a part that is late, as a disk that hangs, is a problem of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from django.conf import settings

from console import room
from console.home import Home
from console.stack import ready
from console.stack.addresses import authority, reachable
from services.clients.unix_http import UnixConnection
from services.engines.local.supervisor import ProcessInfo, Supervisor
from services.errors import EngineError
from services.gateway import status
from services.queries.questions import Questions

CURRENT = 1.0
SOON = 1.5
LATEST = 2.5
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
RESTART_HINT = "It is restarted automatically; logs/{name}.log gives the reason."


@dataclass(frozen=True)
class Problem:
    part: Annotated[str, "disk, gateway, bridge, redis, worker, preheat, beat or supervisor."]
    message: str
    hint: Annotated[str, "What to do about it."] = ""


_lock = threading.Lock()
_questions: Questions[Sequence[Problem]] = Questions()
_last: tuple[float, tuple[Problem, ...]] = (float("-inf"), ())


def problems() -> tuple[Problem, ...]:
    """Every part that is not well, what concerns callers first. Empty when all is well."""
    global _last
    with _lock:
        checked_at, current = _last
        if time.monotonic() - checked_at > CURRENT:
            current = _ask()
            _last = time.monotonic(), current
        return current


def problem_of(part: str) -> Problem | None:
    return next((problem for problem in problems() if problem.part == part), None)


def _ask() -> tuple[Problem, ...]:
    answers = _questions.ask({part: partial(_check, part) for part in _CHECKS}, LATEST)
    late = [part for part in _CHECKS if part not in answers]
    if "disk" in late:
        late = ["disk"]  # the others wait for it
    problems: list[Problem] = []
    for part in _CHECKS:
        named = {problem.part for problem in problems}
        rows = [_late(part)] if part in late else answers.get(part, ())
        problems += [problem for problem in rows if problem.part not in named]
    return tuple(problems)


def _late(part: str) -> Problem:
    if part == "disk":
        message = f"The disk of {settings.NODE_NAME} does not answer: whatever reads or writes it waits."
        return Problem(part, message, f"Check the disk of {settings.HOME.root}.")
    return Problem(part, f"The check of the {part} has no result after {LATEST:g} s.", RESTART_HINT.format(name=part))


def _check(part: str) -> Sequence[Problem]:
    home: Home = settings.HOME
    # Skip checks for parts not started by `make run`.
    if part not in {"gateway", "disk"} and not home.supervisor_conf.exists():
        return ()
    result = _CHECKS[part](home)
    return result if isinstance(result, list) else [result] if result else ()


def _gateway(home: Home) -> Problem | None:
    host, port = reachable(settings.CONSOLE_BIND), settings.GATEWAY_PORT
    reason = status.unanswered(home.gateway, host, port, SOON)
    if not reason:
        return None
    return Problem("gateway", f"{reason} ({authority(host, port)}).", RESTART_HINT.format(name="gateway"))


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
    return Problem("bridge", f"The bridge does not answer: {WHILE_AWAY['bridge']}.", RESTART_HINT.format(name="bridge"))


def _redis(home: Home) -> Problem | None:
    if not settings.REDIS_URL.endswith(f"//{home.redis_socket}"):
        return None  # another machine's, and its own administrator's
    reply = ready.redis_reply(home.redis_socket, SOON)
    if reply.startswith("+PONG"):
        return None
    if reply.startswith("-MISCONF"):
        return Problem("redis", f"Redis cannot write its file, so it takes nothing: {WHILE_AWAY['redis']}.")
    return Problem("redis", f"Redis does not answer: {WHILE_AWAY['redis']}.", RESTART_HINT.format(name="redis"))


def _sweep(home: Home) -> Problem | None:
    try:
        age = time.time() - home.swept.stat().st_mtime
    except OSError:
        return None  # `make run` makes it before the worker starts
    if age < SWEEP_LOST:
        return None
    return Problem(
        "worker", f"No sweep has ended for {age:.0f} s: {WHILE_AWAY['worker']}.", RESTART_HINT.format(name="worker")
    )


def _programs(home: Home) -> list[Problem]:
    try:
        infos = Supervisor(home.supervisor_socket, SOON).all()
    except EngineError:
        return [
            Problem(
                "supervisor",
                "The process supervisor does not answer: no replica is started or stopped.",
                "The command that started the console starts it again; if that has ended, start it with `make run`.",
            )
        ]
    return [
        Problem(
            info.name,
            f"{info.name.capitalize()} does not run: {WHILE_AWAY[info.name]}.",
            RESTART_HINT.format(name=info.name),
        )
        for info in infos
        if info.name in WHILE_AWAY and not _runs(info)
    ]


def _runs(info: ProcessInfo) -> bool:
    return info.state in {"RUNNING", "STARTING"}


_CHECKS: Final[dict[str, Callable[[Home], Problem | list[Problem] | None]]] = {
    "gateway": _gateway,
    "disk": _disk,
    "bridge": _bridge,
    "redis": _redis,
    "worker": _sweep,
    "supervisor": _programs,
}
"""By part, what concerns callers first."""
