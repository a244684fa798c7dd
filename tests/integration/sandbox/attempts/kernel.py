"""The kernel itself: privileges, namespaces, and the calls that change the machine or look into others.

Each call comes with arguments that no kernel carries out. What it says tells who may call: EPERM is "not you", and
EFAULT, EINVAL or EBADF would be "yes, but not so".
"""

# Not pathlib: what is tried are the kernel's own paths and descriptors.
# ruff: noqa: PTH123

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import signal
from typing import Any

from . import Targets, attempt, call, checked, in_child, libc, several

BAD = 1
"""No address."""
HARMLESS: dict[str, tuple[Any, ...]] = {
    "ptrace": (16, 0, 0, 0),
    "process_vm_readv": (os.getpid(), 0, 0, 0, 0, 0),
    "process_vm_writev": (os.getpid(), 0, 0, 0, 0, 0),
    "kcmp": (os.getpid(), os.getpid(), 0, 0, 0),
    "pidfd_getfd": (-1, 0, 0),
    "mount": (0, 0, 0, 0, 0),
    "umount2": (0, 0),
    "pivot_root": (0, 0),
    "chroot": (0,),
    "open_tree": (-1, 0, 0),
    "move_mount": (-1, 0, -1, 0, 0),
    "fsopen": (0, 0),
    "fsconfig": (-1, 99, 0, 0, 0),
    "fsmount": (-1, 0, 0),
    "fspick": (-1, 0, 0),
    "mount_setattr": (-1, 0, 0, 0, 0),
    "unshare": (0,),
    "setns": (-1, 0),
    "name_to_handle_at": (-1, 0, 0, 0, 0),
    "open_by_handle_at": (-1, 0, 0),
    "init_module": (0, 0, 0),
    "finit_module": (-1, 0, 0),
    "delete_module": (0, 0),
    "kexec_load": (0, 0, 0, 0xFFFFFFFF),
    "kexec_file_load": (-1, -1, 0, 0, 0xFFFFFFFF),
    "bpf": (99999, 0, 0),
    "perf_event_open": (0, 0, -1, -1, 0),
    "userfaultfd": (0xFFFF,),
    "fanotify_init": (0xFFFFFFFF, 0),
    "lookup_dcookie": (0, 0, 0),
    "io_uring_setup": (0, 0),
    "io_uring_enter": (-1, 0, 0, 0, 0, 0),
    "io_uring_register": (-1, 0, 0, 0),
    "add_key": (0, 0, 0, 0, 0),
    "request_key": (0, 0, 0, 0),
    "keyctl": (0, -3, 0, 0, 0),
    "syslog": (10, 0, 0),
    "acct": (BAD,),
    "swapon": (0, 0),
    "swapoff": (0,),
    "reboot": (0, 0, 0, 0),
    "quotactl": (0, 0, 0, 0),
    "quotactl_fd": (-1, 0, 0, 0),
    "sethostname": (0, -1),
    "setdomainname": (0, -1),
    "settimeofday": (BAD, 0),
    "clock_settime": (99, 0),
    "clock_adjtime": (99, 0),
    "adjtimex": (0,),
}
"""All that the filter refuses but vhangup, which has no harmless form."""


def _reaches(targets: Targets, name: str) -> str:
    try:
        return f"returned {call(targets, name, *HARMLESS[name])}"
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            raise
        return f"the kernel's own {errno.errorcode[error.errno or 0]}"


several("call", {name: name for name in HARMLESS}, _reaches)

CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
NEW_USER, NEW_NETWORK, NEW_MOUNTS, NEW_PROCESSES = 0x10000000, 0x40000000, 0x20000, 0x20000000


def _child_of(number: int, *arguments: Any) -> str:
    pid = checked(libc.syscall(number, *arguments))
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a namespace"


def _clone(flags: int) -> str:
    zero = ctypes.c_long(0)
    return _child_of(CLONE[platform.machine()], ctypes.c_long(flags | signal.SIGCHLD), zero, zero, zero, zero)


several(
    "clone_new",
    {"user": NEW_USER, "network": NEW_NETWORK, "mounts": NEW_MOUNTS, "processes": NEW_PROCESSES},
    lambda _, flags: in_child(lambda: _clone(flags)),
)
several(
    "unshare_new",
    {"user": NEW_USER, "network": NEW_NETWORK, "mounts": NEW_MOUNTS},
    lambda _, flags: in_child(lambda: checked(libc.unshare(flags))),
)


@attempt
def clone3_new_user(targets: Targets) -> str:
    """The filter cannot see its flags: they are behind a pointer."""
    words = (ctypes.c_uint64 * 8)(NEW_USER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    return in_child(lambda: _child_of(CLONE3, ctypes.byref(words), ctypes.c_long(64)))


several(
    "enter_namespace_of_first",
    {"mounts": "mnt", "network": "net", "user": "user"},
    lambda targets, kind: in_child(lambda: _enter(targets, kind)),
)


def _enter(targets: Targets, kind: str) -> str:
    descriptor = os.open(f"/proc/1/ns/{kind}", os.O_RDONLY)
    call(targets, "setns", descriptor, 0)
    return "entered"


@attempt
def change_the_root(targets: Targets) -> str:
    return in_child(lambda: os.chroot("/"))


several(
    "capabilities",
    {name.lower(): name for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
    lambda _, name: "" if int(own_status(name), 16) == 0 else own_status(name),
)


def own_status(name: str) -> str:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith(f"{name}:"))


@attempt
def new_privileges(targets: Targets) -> str:
    """By a program whose file has a set-user-ID bit or capabilities."""
    return "" if own_status("NoNewPrivs") == "1" else "may have new ones"


@attempt
def no_filter_of_calls(targets: Targets) -> str:
    return "" if own_status("Seccomp") == "2" else "none"


@attempt
def raise_capabilities(targets: Targets) -> str:
    """PR_CAP_AMBIENT_RAISE of CAP_SYS_ADMIN."""
    return in_child(lambda: checked(libc.prctl(47, 2, 21, 0, 0)))


several(
    "become",
    {
        "user_0": lambda: os.setuid(0),
        "user_2": lambda: os.setuid(2),
        "group_0": lambda: os.setgid(0),
        "groups": lambda: os.setgroups([0]),
        "all_three": lambda: os.setresuid(0, 0, 0),
    },
    lambda _, function: in_child(function),
)


@attempt
def raise_priority(targets: Targets) -> str:
    return in_child(lambda: os.nice(-5))


@attempt
def type_into_the_terminal(targets: Targets) -> str:
    """TIOCSTI types; here the terminal is only opened."""
    descriptor = os.open("/dev/tty", os.O_RDWR)
    os.close(descriptor)
    return "a terminal"


@attempt
def call_of_32_bits(targets: Targets) -> str:
    """Other numbers for the same calls: int 0x80 with that of getpid."""
    if platform.machine() != "x86_64":
        return ""
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return in_child(ctypes.CFUNCTYPE(ctypes.c_int)(start))


@attempt
def call_of_x32(targets: Targets) -> str:
    """And others still: with bit 30."""
    if platform.machine() != "x86_64":
        return ""
    return f"process {checked(libc.syscall(ctypes.c_long(0x40000000 + 39)))}"
