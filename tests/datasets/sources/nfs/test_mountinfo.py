"""What the kernel says is mounted is read as it is meant."""

from __future__ import annotations

from pathlib import PurePosixPath

from datasets.sources.nfs.mountinfo import holding, mounts, parse

LINES = (
    r"""
22 27 0:21 / / rw,relatime - ext4 /dev/vda1 rw
40 22 0:45 / /mnt/models ro,relatime shared:2 master:1 - nfs4 nas.example.org:/srv/models ro,vers=4.1,hard,addr=10.1.2.3
41 22 0:46 / /mnt/with\040space rw - nfs nas:/a\040b rw,vers=3,addr=10.1.2.4,mountvers=3
42 22 0:46 /deep /mnt/bound rw - nfs nas:/a\040b rw,vers=3,addr=10.1.2.4
43 40 0:47 / /mnt/models ro - tmpfs none rw
44 22 0:48 / /mnt/six ro - nfs4 [fd00::1]:/ ro,addr=fd00::1
""".replace("\\\\", "\\")
    .strip()
    .splitlines()
)


def test_nfs_mounts_have_their_source_their_server_and_their_root() -> None:
    mounts_by_point = {str(mount.point): mount for mount in parse(LINES) if mount.is_nfs}
    models = mounts_by_point["/mnt/models"]
    assert (models.source, models.address, models.root) == ("nas.example.org:/srv/models", "10.1.2.3", "/")
    assert (mounts_by_point["/mnt/with space"].source, mounts_by_point["/mnt/with space"].kind) == ("nas:/a b", "nfs")
    assert mounts_by_point["/mnt/bound"].root == "/deep" and mounts_by_point["/mnt/six"].source == "[fd00::1]:/"


def test_a_path_lies_in_the_deepest_and_newest_mount() -> None:
    among = parse(LINES)

    def kind(path: str) -> str:
        mount = holding(PurePosixPath(path), among)
        assert mount
        return mount.kind

    assert kind("/mnt/models/a") == "tmpfs"  # mounted over the export
    assert kind("/mnt/with space/a") == "nfs" and kind("/mnt/modelsx") == "ext4"
    assert holding(PurePosixPath("/mnt"), []) is None


def test_the_mounts_of_this_machine_are_read() -> None:
    assert any(str(mount.point) == "/proc" and mount.kind == "proc" for mount in mounts())
