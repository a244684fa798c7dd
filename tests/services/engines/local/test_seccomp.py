"""The filter of system calls, run as the kernel runs it. What it keeps from a model: tests/integration/sandbox."""

from __future__ import annotations

import platform
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.engines.local import seccomp
from services.engines.local.seccomp import ALLOW, ARCHITECTURES, KILL, NO_FAMILY, REFUSE, X32, program, refused

MACHINES = tuple(ARCHITECTURES)
I386, ARM = 0x40000003, 0x40000028
HARMLESS = {"x86_64": {"read": 0, "openat": 257, "clone": 56, "futex": 202}, "aarch64": {"read": 63, "openat": 56}}
SOCKET = {"x86_64": 41, "aarch64": 198}
HEADERS = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h")


def verdict(machine: str, number: int, *arguments: int, architecture: int = 0) -> int:
    """What the program answers to a call: classic BPF, the few instructions that it has."""
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *words)
    steps = list(struct.iter_unpack("=HBBI", program(machine)))
    value = at = 0
    while True:
        code, then, otherwise, constant = steps[at]
        at += 1
        match code:
            case seccomp.LOAD:
                (value,) = struct.unpack_from("=I", data, constant)
            case seccomp.JUMP_EQUAL:
                at += then if value == constant else otherwise
            case seccomp.JUMP_AT_LEAST:
                at += then if value >= constant else otherwise
            case seccomp.RETURN:
                return int(constant)
            case _:
                raise AssertionError(f"an instruction that is not expected: {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_listed_calls_are_refused_and_others_pass(machine: str) -> None:
    assert {verdict(machine, number) for number in refused(machine).values()} == {REFUSE}
    assert {verdict(machine, number) for number in HARMLESS[machine].values()} == {ALLOW}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_same_calls_under_the_numbers_of_x32_are_refused(machine: str) -> None:
    assert verdict(machine, X32) == verdict(machine, X32 + 101) == verdict(machine, 0xFFFFFFFF) == REFUSE


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_of_another_architecture_ends_the_process(machine: str) -> None:
    """Its numbers mean other calls: 26 is ptrace of i386, and msync here."""
    others = {I386, ARM, *ARCHITECTURES.values()} - {ARCHITECTURES[machine]}
    assert {verdict(machine, number, architecture=other) for other in others for number in (0, 26, 101)} == {KILL}


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_of_the_families_that_servers_use(machine: str) -> None:
    usual = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
    others = set(range(64)) - set(usual)
    for number in seccomp.numbers(seccomp.SOCKETS, machine).values():
        assert {verdict(machine, number, family) for family in usual} == {ALLOW}
        assert {verdict(machine, number, family) for family in others} == {NO_FAMILY}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_upper_half_of_a_family_does_not_hide_it(machine: str) -> None:
    """The kernel takes an int, whatever else is in the register."""
    assert verdict(machine, SOCKET[machine], (1 << 32) + 40) == NO_FAMILY
    assert verdict(machine, SOCKET[machine], (40 << 32) + socket.AF_UNIX) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_no_jump_leads_out_of_the_program(machine: str) -> None:
    """The kernel would refuse it as a whole, and nothing would start."""
    steps = list(struct.iter_unpack("=HBBI", program(machine)))
    for at, (code, then, otherwise, _) in enumerate(steps):
        if code in (seccomp.JUMP_EQUAL, seccomp.JUMP_AT_LEAST):
            assert max(then, otherwise) + at + 1 < len(steps)
    assert steps[-1][0] == seccomp.RETURN
    assert len(steps) < 4096


@pytest.mark.parametrize("machine", MACHINES)
def test_no_number_stands_for_two_calls(machine: str) -> None:
    numbers = list(refused(machine).values())
    assert len(numbers) == len(set(numbers))
    assert not set(numbers) & set(HARMLESS[machine].values())


def test_a_machine_that_the_list_does_not_know_has_no_filter() -> None:
    assert program("riscv64") == b""


def test_by_default_it_is_for_this_machine() -> None:
    assert program() == program(platform.machine())


def headers() -> Iterator[tuple[str, int]]:
    file = next((Path(name) for name in HEADERS if Path(name).is_file()), None)
    if file is None:
        pytest.skip("no asm/unistd_64.h on this machine")
    for name, number in re.findall(r"^#define __NR_(\w+)\s+(\d+)$", file.read_text(), re.MULTILINE):
        yield name, int(number)


def test_the_numbers_are_those_of_the_kernels_headers() -> None:
    listed = dict(headers())
    ours = {**refused("x86_64"), **seccomp.numbers(seccomp.SOCKETS, "x86_64")}
    assert {name: number for name, number in ours.items() if listed.get(name, number) != number} == {}
    assert len(set(ours) & set(listed)) > len(ours) - 10  # older headers lack the newest
