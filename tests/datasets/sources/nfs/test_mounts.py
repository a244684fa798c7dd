"""Mounts of the console's own: made once for all who ask, and taken down when nobody does.

What is mounted here is a file system in memory: not every kernel has NFS, and the rest is the same.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest
from pytest_django import Settings

from console.home import Home
from datasets import tasks
from datasets.errors import SourceError
from datasets.sources.base import Site
from datasets.sources.net.sockets import Network
from datasets.sources.nfs import mounts as nfs_mounts
from datasets.sources.nfs.mountinfo import mounts
from datasets.sources.nfs.options import Export, mount_options
from datasets.sources.nfs.source import NfsSource

EXPORT = Export("127.0.0.1", "/srv/models")
OPTIONS = mount_options("")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    mounts_folder = tmp_path / "mounts"
    yield mounts_folder
    nfs_mounts.release(mounts_folder, 0)
    assert not mounted_in(mounts_folder)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Something that answers at the port of NFS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr(nfs_mounts, "PORT", listening.getsockname()[1])
        yield Network(["127.0.0.1"])


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What would have been mounted. Skips where nothing can be."""
    trial = tmp_path / "trial"
    trial.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(trial)], capture_output=True, check=False).returncode:
        pytest.skip("This process may not mount anything.")
    subprocess.run(["umount", str(trial)], check=True)
    commands: list[list[str]] = []
    real = nfs_mounts.command

    def command(export: Export, options: tuple[str, ...], target: PurePosixPath) -> list[str]:
        commands.append(real(export, options, target))
        return ["mount", "-t", "tmpfs", "none", str(target)]

    monkeypatch.setattr(nfs_mounts, "command", command)
    return commands


def mounted_in(folder: Path) -> list[str]:
    return [str(mount.point) for mount in mounts() if mount.point.is_relative_to(folder.resolve())]


def test_the_command_is_what_an_administrator_would_type() -> None:
    argv = nfs_mounts.command(Export("fd00::1", "/a b"), mount_options("vers=4.2"), PurePosixPath("/mnt/x"))
    assert argv == ["mount", "-t", "nfs", "-o", "ro,nosuid,nodev,noexec,vers=4.2,soft", "[fd00::1]:/a b", "/mnt/x"]


def test_an_export_is_mounted_once_for_everybody(server: Network, folder: Path, in_memory: list[list[str]]) -> None:
    with ThreadPoolExecutor(8) as several:
        folders = set(several.map(lambda _: nfs_mounts.mounted(EXPORT, OPTIONS, folder, server), range(16)))
    assert len(folders) == 1 == len(in_memory) and mounted_in(folder) == [str(next(iter(folders)))]
    assert folder.stat().st_mode & 0o077 == 0
    other = nfs_mounts.mounted(EXPORT, mount_options("vers=3"), folder, server)
    assert {other} != folders and len(mounted_in(folder)) == 2


def test_what_is_mounted_is_the_address_that_was_looked_at(
    server: Network, folder: Path, in_memory: list[list[str]]
) -> None:
    nfs_mounts.mounted(Export("localhost", "/x"), OPTIONS, folder, Network(["localhost"]))
    assert in_memory[0][5] in {"127.0.0.1:/x", "[::1]:/x"}


def test_what_nobody_asks_for_is_unmounted(server: Network, folder: Path, in_memory: list[list[str]]) -> None:
    target = nfs_mounts.mounted(EXPORT, OPTIONS, folder, server)
    assert nfs_mounts.release(folder) == 0 and mounted_in(folder)
    long_ago = time.time() - nfs_mounts.IDLE_SECONDS - 1
    os.utime(f"{target}.lock", (long_ago, long_ago))
    nfs_mounts.mounted(EXPORT, OPTIONS, folder, server)  # asked for again
    assert nfs_mounts.release(folder) == 0
    os.utime(f"{target}.lock", (long_ago, long_ago))
    assert nfs_mounts.release(folder) == 1 and not mounted_in(folder) and not target.exists()
    assert nfs_mounts.release(folder / "none") == 0
    assert nfs_mounts.mounted(EXPORT, OPTIONS, folder, server) == target and mounted_in(folder)


def test_a_mount_with_an_open_file_stays(server: Network, folder: Path, in_memory: list[list[str]]) -> None:
    target = nfs_mounts.mounted(EXPORT, OPTIONS, folder, server)
    with (target / "a").open("w"):
        assert nfs_mounts.release(folder, 0) == 0 and mounted_in(folder)
    assert nfs_mounts.release(folder, 0) == 1


def test_a_dataset_reads_what_the_console_mounted(
    server: Network, folder: Path, in_memory: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nfs_mounts, "hindrance", lambda: "")
    nfs_source = NfsSource(
        {"server": "127.0.0.1", "export": "/srv/models"}, Site(endpoints=("127.0.0.1",), mounts=folder)
    )
    message = nfs_source.check()
    assert message.startswith("127.0.0.1:/srv/models was mounted by the console, read only.")
    target = Path(mounted_in(folder)[0])
    (target / "model").mkdir()
    (target / "model" / "weights.bin").write_bytes(b"w" * 100)
    assert [file.path for file in nfs_source.plan("").files] == ["model/weights.bin"]


def test_a_server_that_does_not_answer_is_not_mounted(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nfs_mounts, "PORT", port)
        with pytest.raises(SourceError, match="No connection") as caught:
            nfs_mounts.mounted(EXPORT, OPTIONS, folder, Network(["127.0.0.1"]))
    assert not caught.value.permanent and not mounted_in(folder)


def test_why_a_mount_failed_is_said(server: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        nfs_mounts, "command", lambda *_: ["sh", "-c", "echo 'mount.nfs: access denied by server' >&2; exit 32"]
    )
    with pytest.raises(SourceError, match=r"127.0.0.1:/srv/models could not be mounted: mount.nfs: access denied"):
        nfs_mounts.mounted(EXPORT, OPTIONS, folder, server)


def test_a_mount_that_hangs_is_given_up(server: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nfs_mounts, "command", lambda *_: ["sleep", "60"])
    monkeypatch.setattr(nfs_mounts, "COMMAND_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"nothing came of it for 0.3 seconds") as caught:
        nfs_mounts.mounted(EXPORT, OPTIONS, folder, server)
    assert not caught.value.permanent and time.monotonic() - began < 30


def test_it_is_known_whether_this_process_could() -> None:
    """Whatever the machine: either nothing is in the way, or it is said what is."""
    assert nfs_mounts.hindrance() == "" or any(
        word in nfs_mounts.hindrance() for word in ("CAP_SYS_ADMIN", "no NFS client", "nfs-common")
    )


def test_the_worker_unmounts_what_is_unused(
    server: Network, home: Home, in_memory: list[list[str]], settings: Settings
) -> None:
    target = nfs_mounts.mounted(EXPORT, OPTIONS, home.mounts, server)
    long_ago = time.time() - nfs_mounts.IDLE_SECONDS - 1
    os.utime(f"{target}.lock", (long_ago, long_ago))
    tasks.release_mounts()
    assert not mounted_in(home.mounts)
    assert settings.CELERY_BEAT_SCHEDULE["mounts"]["task"] == tasks.release_mounts.name
