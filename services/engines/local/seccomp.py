"""The system calls that a box refuses: a program for the kernel's filter (seccomp(2)), as bubblewrap takes it. Pure.

What changes the machine, looks into other processes, or has been the way out of containers. The list is what container
engines refuse by default (moby, profiles/seccomp), without what they allow again to privileges that no box has.

Sockets are of the families that servers use, and of no other: no namespace bounds AF_VSOCK, which leads to the host of
a virtual machine, and most others load a module of the kernel.
"""

from __future__ import annotations

import platform
import struct
from typing import Final

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ARCHITECTURE, NUMBER, FIRST_ARGUMENT = 4, 0, 16
"""Offsets in struct seccomp_data; of an argument, that of its lower half, which is all that an int has."""
ALLOW, KILL, REFUSE, NO_FAMILY = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050061
"""REFUSE: the call fails with EPERM. NO_FAMILY: with EAFNOSUPPORT, as for one that the kernel does not have."""
X32: Final = 0x40000000
"""Numbers from here on are the same calls once more, on x86_64."""
ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
COLUMNS: Final = ("x86_64", "aarch64")
CALLS: Final = """
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, kcmp 312 272, pidfd_getfd 438 438,
mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, open_tree 428 428, move_mount 429 429, fsopen 430 430,
fsconfig 431 431, fsmount 432 432, fspick 433 433, mount_setattr 442 442,
unshare 272 97, setns 308 268, name_to_handle_at 303 264, open_by_handle_at 304 265,
init_module 175 105, finit_module 313 273, delete_module 176 106, kexec_load 246 104, kexec_file_load 320 294,
bpf 321 280, perf_event_open 298 241, userfaultfd 323 282, fanotify_init 300 262, lookup_dcookie 212 18,
io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427,
add_key 248 217, request_key 249 218, keyctl 250 219, syslog 103 116, acct 163 89,
swapon 167 224, swapoff 168 225, reboot 169 142, quotactl 179 60, quotactl_fd 443 443, vhangup 153 58,
sethostname 170 161, setdomainname 171 162, settimeofday 164 170, clock_settime 227 112, clock_adjtime 305 266,
adjtimex 159 171
"""
"""Name, and number on each architecture."""
FAMILIES: Final = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6; and AF_NETLINK, by which libraries list the interfaces."""
SOCKETS: Final = "socket 41 198, socketpair 53 199"


def refused(machine: str) -> dict[str, int]:
    """Name -> number."""
    return numbers(CALLS, machine)


def numbers(table: str, machine: str) -> dict[str, int]:
    column = COLUMNS.index(machine) + 1
    rows = [row.split() for row in table.split(",")]
    return {row[0]: int(row[column]) for row in rows}


def program(machine: str = "") -> bytes:
    """For this machine by default; b"" for one that the list does not know."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        return b""
    steps = [
        step(LOAD, ARCHITECTURE),
        step(JUMP_EQUAL, ARCHITECTURES[machine], then=1),
        step(RETURN, KILL),
        step(LOAD, NUMBER),
        step(JUMP_AT_LEAST, X32, otherwise=1),
        step(RETURN, REFUSE),
    ]
    for number in refused(machine).values():
        steps += [step(JUMP_EQUAL, number, otherwise=1), step(RETURN, REFUSE)]
    families = [part for family in FAMILIES for part in (step(JUMP_EQUAL, family, otherwise=1), step(RETURN, ALLOW))]
    families = [step(LOAD, FIRST_ARGUMENT), *families, step(RETURN, NO_FAMILY)]
    for number in numbers(SOCKETS, machine).values():
        steps += [step(JUMP_EQUAL, number, otherwise=len(families)), *families]
    return b"".join([*steps, step(RETURN, ALLOW)])


def step(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One struct sock_filter. Jumps count the steps that are left out."""
    return struct.pack("=HBBI", code, then, otherwise, value)
