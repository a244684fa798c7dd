"""Becomes one program of the stack: `python -IS child.py <launch.json>`. Standard library only, nothing of ours.

supervisord starts every program through this file, because its own configuration language cannot carry arbitrary
arguments or environments, and because a program of ours must not outlive the supervisord that started it.

launch.json (mode 0600): `argv`, `env`, `cwd`, and optionally
  inherit_env        true: `env` is added to the environment that supervisord has; false: `env` is all there is
  lock               file held with flock for as long as the program or a child of it lives
  lock_grace         seconds to wait for an earlier holder to go before it is killed (default 3)
  start_limit        [count, seconds, file]: after so many starts in that time it gives up instead of starting
  death_signal       sent to the program when its parent dies (default SIGKILL)

SIGKILL on the parent's death: whatever runs here has to survive a `kill -9` anyway, and a program that takes its time
over SIGTERM would hold its ports while its successor starts. Triton's Python stubs notice their parent's end
themselves.
"""

# Not pathlib, not contextlib: they would double the time that this takes.
# ruff: noqa: PTH103, PTH110, PTH116, PTH123, PTH208, SIM105

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import sys
import time
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PARENT_PID = "STACK_SUPERVISOR_PID"
ORPHAN_GRACE = 0.5
OPEN_FILES = 65536


def refuse(message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
    os._exit(1)


def die_with_parent(number: int) -> None:
    """Linux sends `number` to this process, also after exec, when the process that forked it ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        refuse(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the call; then nobody will send the signal.
    expected = os.environ.get(PARENT_PID)
    if expected and os.getppid() != int(expected):
        refuse("The process supervisor ended while this program was starting.")


def holders(path: str) -> list[int]:
    """Pids of the processes, other than this one, that have `path` open."""
    pids = []
    file_status = os.stat(path)
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid == os.getpid():
            continue
        try:
            for fd in os.scandir(f"/proc/{pid}/fd"):
                if os.path.samestat(os.stat(fd.path), file_status):
                    pids.append(pid)
                    break
        except OSError:
            continue  # gone meanwhile, or another user's
    return pids


def take_lock(path: str, grace: float) -> None:
    """Wait until no earlier instance is left. The descriptor stays open across exec, so the lock lives as we do."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    began = time.monotonic()
    kill_at = began + grace
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            now = time.monotonic()
            if now > began + grace + 10:
                refuse(f"An earlier instance of this program does not end; it holds {path}.")
            # When the program itself is gone, what still holds the lock are children that it left behind.
            if now > kill_at or (now > began + ORPHAN_GRACE and not holder_lives(fd)):
                kill_at = now + 1
                for pid in holders(path):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            time.sleep(0.05)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
    except OSError:
        pass  # a full disk: without a pid, `holder_lives` believes that we do
    os.set_inheritable(fd, True)


def holder_lives(fd: int) -> bool:
    """Whether the process that took the lock is still there; it wrote its pid, which exec does not change."""
    text = os.pread(fd, 20, 0)
    return not text.isdigit() or os.path.exists(f"/proc/{int(text)}")


def count_start(count: int, seconds: float, path: str) -> None:
    """Give up on a program that was started too often lately: it comes up, stays a while and dies, again and again.

    supervisord itself gives up only on programs that die within their start window. Refusing here makes it do so.
    Starts under another supervisord do not count: a person who restarts the stack is not a crash loop.
    """
    now, parent = time.time(), os.getppid()
    recent = [at for pid, at in read_starts(path) if pid == parent and now - seconds < at <= now]
    if len(recent) >= count:
        refuse(f"Started {len(recent)} times in the last {seconds:.0f} seconds, and ended each time: giving up.")
    try:
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{parent} {at!r}\n" for at in [*recent, now])
    except OSError:
        pass  # a full disk: starting matters more than counting


def read_starts(path: str) -> list[tuple[int, float]]:
    """Pid of the supervisor and time of each start. What a full disk left of a line is left out."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file if line.endswith("\n")]
    except OSError:
        return []
    starts = []
    for line in lines:
        try:
            starts.append((int(line[0]), float(line[1])))
        except (IndexError, ValueError):
            pass
    return starts


def reset_signals() -> None:
    """Python ignores SIGPIPE and SIGXFSZ; an ignored signal stays ignored across exec."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def raise_open_files() -> None:
    """The gateway holds two descriptors for each request. supervisord itself closes as many as it allows, one by one,
    each time it starts a program, so it is given a low limit and the program raises its own.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def environment(launch: dict[str, Any]) -> dict[str, str]:
    env: dict[str, str] = dict(os.environ) if launch.get("inherit_env") else {}
    env.update(launch["env"])
    return env


def main(path: str) -> NoReturn:
    with open(path, encoding="utf-8") as file:
        launch: dict[str, Any] = json.load(file)
    die_with_parent(launch.get("death_signal", signal.SIGKILL))
    os.umask(0o077)
    os.makedirs(launch["cwd"], 0o700, exist_ok=True)
    os.chdir(launch["cwd"])
    if "lock" in launch:
        take_lock(launch["lock"], launch.get("lock_grace", 3.0))
    if "start_limit" in launch:
        count_start(*launch["start_limit"])
    env = environment(launch)
    raise_open_files()
    reset_signals()
    argv: list[str] = launch["argv"]
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - no shell is the point
    except OSError as error:
        refuse(f"Cannot start {argv[0]}: {error.strerror}.")


if __name__ == "__main__":
    main(sys.argv[1])
