"""A small file system of a test's own, which it can fill and empty."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1 << 20
KEEP_SIZE, PUNCH_HOLE = 1, 2
INSIDE = "SMALL_DISK_NAMESPACE"


@dataclass(frozen=True)
class SmallDisk:
    folder: Path

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.folder).free

    def fill(self, left: int = 0) -> None:
        """Takes all but `left` bytes, whatever others write meanwhile."""
        filler = os.open(self.folder / "filler", os.O_WRONLY | os.O_CREAT)
        try:
            for step in (16 * MIB, MIB, 4096):
                with suppress(OSError):
                    while self.free - left >= step:
                        os.posix_fallocate(filler, 0, os.fstat(filler).st_size + step)
        finally:
            os.close(filler)

    def empty(self) -> None:
        (self.folder / "filler").unlink()


def give_back(path: Path) -> None:
    """Frees the blocks that are set aside beyond the end of a file, which others may be writing to."""
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    descriptor = os.open(path, os.O_WRONLY)
    try:
        start = (os.fstat(descriptor).st_size // 4096 + 16) * 4096
        assert fallocate(descriptor, KEEP_SIZE | PUNCH_HOLE, start, 1 << 30) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(descriptor)


def may_mount(*prefix: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="sd-", dir="/tmp") as folder:
        command = [*prefix, "mount", "-t", "tmpfs", "none", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        if not prefix:  # that of a namespace is gone with it
            subprocess.run(["umount", folder], check=True)
        return True


@contextmanager
def small_disk(size: int) -> Iterator[SmallDisk]:
    """Skips the test where nothing may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="sd-", dir="/tmp"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    try:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("nothing may be mounted here; the last test of this file tries a namespace of its own")
        try:
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


def run_in_a_namespace(file: str) -> None:
    """Runs the tests of a file where anybody may mount. Skips when they ran already, or cannot."""
    prefix = ["unshare", "--user", "--map-root-user", "--mount"]
    if os.environ.get(INSIDE) or may_mount():
        pytest.skip("they ran outside of it")
    if not may_mount(*prefix):
        pytest.skip("nothing may be mounted here, not in a namespace of its own either")
    env = {**os.environ, INSIDE: "1"}
    command = [*prefix, sys.executable, "-m", "pytest", "-n", "0", "-q", "-rs", file]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "nothing may be mounted" not in done.stdout, done.stdout
