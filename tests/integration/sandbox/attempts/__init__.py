"""What a hostile model tries. Runs in a replica, so: the standard library only, and each import is one of this folder.

An attempt returns what it got as text; "" or an OSError is nothing. All are harmless where nothing holds them: they
open, connect and look, they write to nothing, and the signal they send is 0.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

Targets = dict[str, Any]
Attempt = Callable[[Targets], str]

ATTEMPTS: dict[str, Attempt] = {}
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def attempt(function: Attempt) -> Attempt:
    ATTEMPTS[function.__name__] = function
    return function


def several(kind: str, names: dict[str, Any], trial: Callable[[Targets, Any], str]) -> None:
    """One attempt for each name, with what belongs to it."""
    for name, value in names.items():
        ATTEMPTS[f"{kind}_{name}"] = lambda targets, value=value: trial(targets, value)


def run_all(targets: Targets) -> dict[str, dict[str, str]]:
    """Name -> what it got, and why it got nothing."""
    report = {}
    for name, function in ATTEMPTS.items():
        try:
            report[name] = {"got": function(targets), "why": ""}
        except OSError as error:
            report[name] = {"got": "", "why": str(error)}
    return report


def call(targets: Targets, name: str, *arguments: Any) -> int:
    """A system call by its number. Raises OSError."""
    result: int = libc.syscall(targets["calls"][name], *map(_argument, arguments))
    return checked(result)


def checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _argument(value: Any) -> Any:
    return ctypes.c_long(value) if isinstance(value, int) else value


def in_child(function: Callable[[], object]) -> str:
    """In a process of its own, with which whatever it changes ends. Raises OSError as the function does."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writing, f"0 got {function()}".encode()[:4000])
        except OSError as error:
            os.write(writing, f"{error.errno or 5} {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if not answer:
        raise OSError(f"ended by signal {os.WTERMSIG(status)}")
    number, _, text = answer.partition(" ")
    if number != "0":
        raise OSError(int(number), text)
    return text


def read(path: str, size: int = 80) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, size).decode("latin-1")
    finally:
        os.close(descriptor)


def opened(path: str, flags: int) -> str:
    os.close(os.open(path, flags | os.O_NONBLOCK))
    return f"opened {path}"
