"""Mounting NFS exports where the console may: one mount for all datasets of an export, taken down when nobody reads it.

Each lies in a folder of its own below the home's run directory, named after the export and its options. A file beside
it is locked by whoever mounts or unmounts, in any process, and its time says when the mount was last asked for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from datasets.errors import SourceError
from datasets.sources.net.sockets import Network
from datasets.sources.nfs.mountinfo import mounts
from datasets.sources.nfs.options import PORT, Export

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 30.0
IDLE_SECONDS = 600.0
"""A mount that nobody asked for so long is unmounted, unless a file of it is open."""
_SYS_ADMIN = 1 << 21


def hindrance() -> str:
    """Why this process cannot mount an NFS export; "" when it can."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    held = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    if not int(held, 16) & _SYS_ADMIN:
        return "the console does not run with the right to mount (CAP_SYS_ADMIN)"
    filesystems = {line.split()[-1] for line in Path("/proc/filesystems").read_text(encoding="ascii").splitlines()}
    module = Path("/lib/modules") / platform.release() / "kernel" / "fs" / "nfs"
    if not {"nfs", "nfs4"} & filesystems and not module.is_dir():
        return "the kernel of this machine has no NFS client"
    if shutil.which("mount.nfs", path=PATH) is None:
        return "the program mount.nfs is not installed (Debian and Ubuntu: apt install nfs-common)"
    return ""


def command(export: Export, options: tuple[str, ...], target: PurePosixPath) -> list[str]:
    """For a console that may mount, and for an administrator to type."""
    return ["mount", "-t", "nfs", "-o", ",".join(options), str(export), str(target)]


def mounted(export: Export, options: tuple[str, ...], folder: Path, network: Network) -> Path:
    """Where the export is mounted now. Call it again at least every few minutes while it is in use.

    Raises SourceError when the server is not allowed, does not answer, or does not let this machine mount.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = folder / hashlib.sha256(f"{export} {','.join(options)}".encode()).hexdigest()[:16]
    with _locked(target):
        if not _is_mounted(target):
            target.mkdir(exist_ok=True, mode=0o700)
            # By the address that was looked at: mount would resolve the name again, perhaps to another one.
            reached = Export(_address(export, network), export.path)
            _run(command(reached, (*options, "retry=0"), PurePosixPath(target)), f"{export} could not be mounted")
        os.utime(_lock_file(target))
    return target


def release(folder: Path, idle: float = IDLE_SECONDS) -> int:
    """Unmounts what nobody asked for in the last `idle` seconds and has no open files. Returns how many."""
    count = 0
    for target in folder.iterdir() if folder.is_dir() else ():
        if target.suffix == ".lock":
            continue
        with suppress(BlockingIOError, SourceError), _locked(target, wait=False):
            if time.time() - _lock_file(target).stat().st_mtime < idle:
                continue
            if _is_mounted(target):
                _run(["umount", str(target)], f"{target} could not be unmounted")
                count += 1
            with suppress(OSError):
                target.rmdir()
    return count


def _address(export: Export, network: Network) -> str:
    with network.connect(export.server, PORT, CONNECT_SECONDS) as reached:
        return str(reached.getpeername()[0])


def _is_mounted(target: Path) -> bool:
    real = PurePosixPath(target.resolve())
    return any(mount.point == real for mount in mounts())


def _lock_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.lock")


@contextmanager
def _locked(target: Path, *, wait: bool = True) -> Iterator[None]:
    """Raises BlockingIOError when it may not wait and somebody else is at it."""
    descriptor = os.open(_lock_file(target), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _run(argv: list[str], failed: str) -> None:
    """Not subprocess.run: after a time-out that waits for a child that may not be killable for a while."""
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={"PATH": PATH, "LC_ALL": "C"},
        cwd="/",
        start_new_session=True,
    )
    try:
        _, output = child.communicate(timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        raise SourceError(
            f"{failed}: nothing came of it for {COMMAND_SECONDS:g} seconds.",
            permanent=False,
            hint="Is the file server up, and does the network reach it?",
        ) from None
    if child.returncode:
        raise SourceError(f"{failed}: {' '.join(output.split())[:300] or 'no reason was given'}.", permanent=False)
