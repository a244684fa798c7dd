"""Places that a replica must not change. Each is opened for writing, and nothing is written."""

# Not pathlib: what is tried are the kernel's own paths and descriptors.
# ruff: noqa: PTH113, PTH118, PTH208

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import Targets, attempt, opened, several

several(
    "write",
    {
        "core_pattern": "/proc/sys/kernel/core_pattern",
        "modprobe": "/proc/sys/kernel/modprobe",
        "largest_file": "/proc/sys/fs/file-max",
        "sysrq": "/proc/sysrq-trigger",
        "interrupts": "/proc/irq/default_smp_affinity",
        "processors": "/sys/devices/system/cpu/uevent",
        "huge_pages": "/sys/kernel/mm/transparent_hugepage/enabled",
        "control_groups": "/sys/fs/cgroup/cgroup.procs",
        "system": "/usr/lib/os-release",
        "names_of_hosts": "/etc/hosts",
        "accounts": "/etc/passwd",
    },
    lambda _, path: opened(path, os.O_WRONLY),
)
several(
    "write",
    {name: name for name in ("secret_key", "database", "other_launch", "other_model", "gateway_keys")},
    lambda targets, key: opened(targets["files"][key], os.O_WRONLY),
)


@attempt
def write_the_runtime(targets: Targets) -> str:
    return opened(f"{sys.prefix}/pyvenv.cfg", os.O_WRONLY)


@attempt
def write_the_interpreter(targets: Targets) -> str:
    return opened(os.__file__, os.O_WRONLY)


def _model(targets: Targets) -> str:
    return str(Path(__file__).resolve().parent.parent / "targets.json")


@attempt
def write_the_model(targets: Targets) -> str:
    return opened(_model(targets), os.O_WRONLY)


@attempt
def write_beside_the_model(targets: Targets) -> str:
    path = Path(_model(targets)).with_name("more")
    path.touch()
    path.unlink()
    return str(path)


@attempt
def write_the_model_by_a_hard_link(targets: Targets) -> str:
    """A second name, in a folder that may be written to."""
    path = Path("linked")
    try:
        path.hardlink_to(_model(targets))
        return opened(str(path), os.O_WRONLY)
    finally:
        path.unlink(missing_ok=True)


@attempt
def write_anywhere_in_proc(targets: Targets) -> str:
    """To the kernel, the user of the box may be root: then its files there are its own."""
    paths: list[str] = []
    for name in os.listdir("/proc") if targets["boxed"] else ():
        path = f"/proc/{name}"
        if not name.isdigit() and os.path.isfile(path):
            try:
                paths.append(opened(path, os.O_WRONLY))
            except OSError:
                continue
    return ", ".join(paths)


@attempt
def write_anywhere_in_settings(targets: Targets) -> str:
    """One is enough. What is about a namespace is its own; the rest is the machine's."""
    for folder, _, names in os.walk("/proc/sys"):
        for name in names:
            try:
                return opened(os.path.join(folder, name), os.O_WRONLY)
            except OSError:
                continue
    return ""
