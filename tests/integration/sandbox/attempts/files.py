"""Files of others, and devices."""

# Not pathlib: what is tried are the kernel's own paths and descriptors.
# ruff: noqa: PTH110, PTH115, PTH118, PTH208

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from . import Targets, attempt, call, opened, read, several


def beside(folder: str) -> list[str]:
    """What is in the folder, but for the way to this Python, which may lie below a home."""
    names = []
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if any(prefix == path for prefix in (sys.prefix, sys.base_prefix)):
            continue
        if any(prefix.startswith(f"{path}/") for prefix in (sys.prefix, sys.base_prefix)):
            names += beside(path)
        else:
            names.append(path)
    return names


def _read_target(targets: Targets, key: str) -> str:
    return read(targets["files"][key])


several(
    "read",
    {
        name: name
        for name in (
            *("secret_key", "secrets_key", "database", "credentials", "other_model", "other_launch", "other_run_dir"),
            *("supervisor_conf", "gateway_keys", "log_of_another", "shared_memory_of_another", "console_code"),
        )
    },
    _read_target,
)
several(
    "read",
    {
        "shadow": "/etc/shadow",
        "shadow_by_first_process": "/proc/1/root/etc/shadow",
        "machine_id": "/etc/machine-id",
        "kernel_log": "/dev/kmsg",
        "kernel_memory": "/proc/kcore",
        "kernel_keys": "/proc/keys",
        "kernel_symbols": "/proc/kallsyms",
        "kernel_timers": "/proc/timer_list",
        "kernel_slabs": "/proc/slabinfo",
        "kernel_areas": "/proc/vmallocinfo",
        "kernel_pages": "/proc/pagetypeinfo",
        "page_flags": "/proc/kpageflags",
        "page_counts": "/proc/kpagecount",
        "page_groups": "/proc/kpagecgroup",
        "memory_map": "/proc/iomem",
        "map_of_ports": "/proc/ioports",
        "allocations": "/proc/allocinfo",
        "interrupts": "/proc/interrupts",
        "physical_memory": "/dev/mem",
        "name_servers": "/etc/resolv.conf",
    },
    lambda _, path: read(path),
)
several(
    "list",
    {name.replace("/", "_"): f"/{name}" for name in ("root", "home", "var", "boot", "mnt", "srv", "media")},
    lambda _, path: " ".join(beside(path)),
)


@attempt
def open_the_kernel_log(targets: Targets) -> str:
    """To read it would take it from others."""
    return opened("/proc/kmsg", os.O_RDONLY)


@attempt
def name_of_the_machine(targets: Targets) -> str:
    return os.uname().nodename if os.uname().nodename == targets["host"] else ""


@attempt
def list_run(targets: Targets) -> str:
    """Sockets of the machine's own servers: D-Bus, container engines."""
    return " ".join(name for name in os.listdir("/run") if name != "replica")


@attempt
def list_tmp(targets: Targets) -> str:
    return " ".join(name for name in os.listdir("/tmp") if f"/tmp/{name}" == targets["home"])


@attempt
def climb_out_of_the_run_directory(targets: Targets) -> str:
    return read(f"{'../' * 12}{targets['files']['secret_key'].lstrip('/')}")


@attempt
def climb_out_of_descriptors(targets: Targets) -> str:
    """An open folder of the outside leads out of any box, also one of the first process."""
    for pid in ("self", "1"):
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                return read(f"/proc/{pid}/fd/{number}/{'../' * 12}{targets['files']['secret_key'].lstrip('/')}")
            except OSError:
                continue
    return ""


@attempt
def climb_by_first_process(targets: Targets) -> str:
    return read(f"/proc/1/cwd/{'../' * 12}{targets['files']['secret_key'].lstrip('/')}")


@attempt
def inherited_descriptors(targets: Targets) -> str:
    """Triton opens files and sockets, too: what counts is what the box does not have."""
    paths = []
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the listing's own
        is_hidden = path.startswith("/") and not os.path.exists(path.removesuffix(" (deleted)"))
        if is_hidden or "memfd:replica" in path or (int(number) > 2 and targets["plain"] and "/proc/" not in path):
            paths.append(f"{number}={path}")
    return " ".join(path for path in paths if "/dev/shm/" not in path)


@attempt
def environment_of_others(targets: Targets) -> str:
    """Secrets in its own: none but what the launch gives it."""
    return " ".join(sorted(name for name, value in os.environ.items() if targets["secret"] in value))


@attempt
def variables_of_the_console(targets: Targets) -> str:
    return " ".join(sorted(set(os.environ) - set(targets["variables"])))


def _disks() -> list[str]:
    return [entry.path for entry in os.scandir("/dev") if stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode)]


@attempt
def disks(targets: Targets) -> str:
    return " ".join(_disks())


several(
    "device",
    {
        name.replace("/", "_"): name
        for name in ("mem", "port", "kvm", "fuse", "vsock", "net/tun", "userfaultfd", "tty1")
    },
    lambda _, name: opened(f"/dev/{name}", os.O_RDWR | os.O_NOCTTY),
)


@attempt
def make_a_device(targets: Targets) -> str:
    path = Path("disk")
    try:
        os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(7, 0))
        return "a device"
    finally:
        path.unlink(missing_ok=True)


@attempt
def open_by_handle(targets: Targets) -> str:
    """How a container of 2014 was left: handles know no root."""
    handle = (8).to_bytes(4, "little") + (1).to_bytes(4, "little") + (2).to_bytes(8, "little")
    here = os.open(".", os.O_RDONLY)
    try:
        descriptor = call(targets, "open_by_handle_at", here, handle, os.O_RDONLY)
    finally:
        os.close(here)
    os.close(descriptor)
    return "the root of the disk"
