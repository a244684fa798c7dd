"""Other processes: look into them, signal them."""

# Not pathlib: what is tried are the kernel's own paths and descriptors.
# ruff: noqa: PTH112, PTH208

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator

from . import Targets, attempt, call, checked, in_child, libc, read

PTRACE_SEIZE = 0x4206


def _in_proc(targets: Targets, name: str) -> str:
    """Which processes have the secret in this file."""
    pids = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if targets["secret"] in read(f"/proc/{pid}/{name}", 1 << 16):
                pids.append(pid)
        except OSError:
            continue
    return " ".join(pids)


@attempt
def environment_of_a_process(targets: Targets) -> str:
    return _in_proc(targets, "environ")


@attempt
def command_of_a_process(targets: Targets) -> str:
    return _in_proc(targets, "cmdline")


@attempt
def memory_of_a_process(targets: Targets) -> str:
    descriptor = os.open(f"/proc/{targets['pid']}/mem", os.O_RDONLY)
    try:
        return os.pread(descriptor, len(targets["secret"]), targets["address"]).decode("latin-1")
    finally:
        os.close(descriptor)


class Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@attempt
def memory_by_process_vm_readv(targets: Targets) -> str:
    size = len(targets["secret"])
    buffer = ctypes.create_string_buffer(size)
    here = Vector(ctypes.addressof(buffer), size)
    there = Vector(targets["address"], size)
    call(targets, "process_vm_readv", targets["pid"], ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return buffer.raw.decode("latin-1")


@attempt
def trace_a_process(targets: Targets) -> str:
    """Seized, it runs on; and it is let go when the one that traces ends."""
    return in_child(lambda: call(targets, "ptrace", PTRACE_SEIZE, targets["pid"], 0, 0))


@attempt
def descriptor_of_a_process(targets: Targets) -> str:
    number = targets["descriptor"]
    pid = os.pidfd_open(targets["pid"])
    copied = call(targets, "pidfd_getfd", pid, number, 0)
    return os.pread(copied, 80, 0).decode()


@attempt
def files_by_root_of_a_process(targets: Targets) -> str:
    return read(f"/proc/{targets['pid']}/root{targets['files']['secret_key']}")


@attempt
def priority_of_a_process(targets: Targets) -> str:
    return str(os.getpriority(os.PRIO_PROCESS, targets["pid"])) if _is_other(targets, targets["pid"]) else ""


def _is_other(targets: Targets, pid: int) -> bool:
    """Not one of this box that has the same number."""
    try:
        return targets["secret"] in read(f"/proc/{pid}/cmdline", 1 << 16)
    except OSError:
        return not os.path.isdir(f"/proc/{pid}")


def _signal(targets: Targets, pid: int) -> str:
    os.kill(pid, 0)
    return f"signal to {pid}" if _is_other(targets, pid) else ""


@attempt
def signal_a_process(targets: Targets) -> str:
    return _signal(targets, targets["pid"])


@attempt
def signal_supervisord(targets: Targets) -> str:
    os.kill(targets["supervisord"], 0)
    return "" if targets["boxed"] and os.path.isdir(f"/proc/{targets['supervisord']}") else "signal"


@attempt
def signal_by_descriptor(targets: Targets) -> str:
    descriptor = os.pidfd_open(targets["pid"])
    signal.pidfd_send_signal(descriptor, 0)
    return "signal" if _is_other(targets, targets["pid"]) else ""


def _others() -> Iterator[str]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            yield read(f"/proc/{pid}/cmdline", 1 << 16)
        except OSError:
            continue


@attempt
def signal_everything(targets: Targets) -> str:
    """kill(-1), as signal 0: whom it would reach is whom there is."""
    os.kill(-1, 0)
    return " ".join(command for command in _others() if targets["secret"] in command)


@attempt
def shared_memory_by_key(targets: Targets) -> str:
    """System V: a number is its name."""
    return f"segment {checked(libc.shmget(targets['key'], 0, 0))}"
