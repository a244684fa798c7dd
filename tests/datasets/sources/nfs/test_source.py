"""An export is read where it is mounted, or from a directory that stands for it; else it is said what to do.

There is no NFS in every kernel, so what the kernel says is mounted is told by the test; the directories are real.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from datasets.errors import SourceChanged, SourceError
from datasets.sources import registry
from datasets.sources.base import Site
from datasets.sources.local.source import LocalSource
from datasets.sources.nfs import mounts as nfs_mounts
from datasets.sources.nfs import source as nfs
from datasets.sources.nfs.mountinfo import Mount
from datasets.sources.nfs.source import NfsSource
from tests.datasets.sources.reading import content

Mounted = Callable[..., None]
HERE = {"server": "nas.example.org", "export": "/srv/models"}


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> Mounted:
    """Has the kernel say that `source` is mounted at `point`."""
    mounts: list[Mount] = []
    monkeypatch.setattr(nfs, "mounts", lambda: mounts)

    def add(
        point: Path,
        source: str = "nas.example.org:/srv/models",
        root: str = "/",
        address: str = "10.1.2.3",
        kind: str = "nfs4",
    ) -> None:
        mounts.append(Mount(PurePosixPath(point), kind, source, root, address))

    return add


def source(root: Path | None, *endpoints: str, mounts: Path | None = None, **options: str) -> NfsSource:
    return NfsSource({**HERE, **options}, Site(roots=(root,) if root else (), endpoints=endpoints, mounts=mounts))


def refused(nfs_source: NfsSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        nfs_source.check()
    return caught.value


def test_blanks_at_the_ends_of_folders_are_kept(files: Path) -> None:
    (files / " svm ").mkdir()
    (files / " svm " / "model.onnx").write_bytes(b"blank")
    (files.parent / "models ").symlink_to(files)
    nfs_source = source(files.parent, path=f"{files} ", subpath=" svm ", server=" nas.example.org ")
    assert content(nfs_source) == {"model.onnx": b"blank"}
    assert content(source(files.parent, path=str(files), subpath="  "))["README.txt"] == b"models\n"


def test_a_plain_directory_stands_for_an_export_and_says_so(files: Path) -> None:
    nfs_source = source(files.parent, path=str(files))
    message = nfs_source.check()
    assert message.startswith(
        f"{files} is not an NFS mount here; it is read as a plain directory. {files} can be read: 2"
    )
    assert content(nfs_source) == content(LocalSource({"path": str(files)}, Site(roots=(files.parent,))))
    assert [entry.path for entry in nfs_source.list("").entries] == ["svm", "README.txt"]
    assert nfs_source.entry("svm/1/weights.bin").size == 256_000 and nfs_source.read("README.txt", 3) == b"mod"


def test_a_folder_of_it_may_be_all_of_the_dataset(files: Path) -> None:
    nfs_source = source(files.parent, path=str(files), subpath="svm/1")
    assert set(content(nfs_source)) == {"model.py", "weights.bin"}
    for bad in ("../..", "..", "/etc/../.."):
        assert refused(source(files.parent, path=str(files), subpath=bad)).option == "subpath"
    assert "does not exist" in str(refused(source(files.parent, path=str(files), subpath="none")))


def test_a_part_of_a_large_file_is_read(files: Path) -> None:
    (files / "large.bin").write_bytes(bytes(range(256)) * 20_000)
    nfs_source = source(files.parent, path=str(files))
    file = nfs_source.plan("large.bin").files[0]
    assert file.ranged and file.path == "large.bin"
    with nfs_source.open(file, "large.bin", 1_000_000, 10) as body:
        assert body.read(10) == (files / "large.bin").read_bytes()[1_000_000:1_000_010]
    small = next(file for file in nfs_source.plan("svm").files if file.path == "1/weights.bin")
    with nfs_source.open(small, "svm", 256, 3) as body:
        assert body.read(3) == bytes([0, 1, 2])


def test_a_file_that_changed_since_it_was_planned_is_noticed(files: Path) -> None:
    nfs_source = source(files.parent, path=str(files))
    plan = {file.path: file for file in nfs_source.plan("").files}
    nfs_source.confirm(plan["README.txt"], "")
    (files / "README.txt").write_text("other words")
    for look in (lambda: nfs_source.open(plan["README.txt"], ""), lambda: nfs_source.confirm(plan["README.txt"], "")):
        with pytest.raises(SourceChanged):
            look()
    nfs_source.open(plan["svm/1/model.py"], "").close()


@pytest.mark.parametrize("path", ["/etc", "/no/such/place"])
def test_a_directory_that_is_not_allowed_is_refused_at_its_field(path: str, files: Path) -> None:
    error = refused(source(files.parent, path=path))
    assert error.option == "path" and "DATASET_ROOTS" in str(error) and str(files.parent) in str(error)


def test_where_it_is_mounted_is_an_absolute_path(files: Path) -> None:
    error = refused(source(files.parent, path="models"))
    assert error.option == "path" and "absolute path" in str(error)


def test_links_lead_nowhere_else(files: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (files / "way-out").symlink_to(tmp_path / "secret")
    nfs_source = source(files.parent, path=str(files))
    with pytest.raises(SourceError, match="leads outside"):
        nfs_source.plan("")
    assert "not inside a directory" in str(refused(source(files.parent, path=str(files), subpath="way-out")))


def test_an_export_is_found_where_an_administrator_mounted_it(files: Path, mounted: Mounted) -> None:
    mounted(files)
    nfs_source = source(files.parent)
    assert nfs_source.check().startswith(f"nas.example.org:/srv/models is mounted at {files}.")
    assert len(content(nfs_source)) == 4


def test_an_export_is_found_beneath_one_that_is_mounted(files: Path, mounted: Mounted) -> None:
    mounted(files, "nas.example.org:/srv")
    nfs_source = source(files.parent, export="/srv/svm", subpath="1")
    assert set(content(nfs_source)) == {"model.py", "weights.bin"}


def test_a_part_of_an_export_that_is_mounted_by_itself_is_not_taken_for_it(files: Path, mounted: Mounted) -> None:
    mounted(files, root="/somewhere/deep")
    assert "is not mounted on this machine" in str(refused(source(files.parent)))


def test_an_export_that_something_else_was_mounted_over_is_not_seen(files: Path, mounted: Mounted) -> None:
    mounted(files)
    mounted(files, "none", kind="tmpfs", address="")
    assert "is not mounted on this machine" in str(refused(source(files.parent)))


@pytest.mark.parametrize("endpoint", ["nas.example.org", "nas.example.org:2049", "10.1.2.3", "10.1.0.0/16:2049"])
def test_a_mount_outside_the_allowed_directories_needs_an_allowed_server(
    endpoint: str, files: Path, mounted: Mounted, tmp_path: Path
) -> None:
    mounted(files)
    error = refused(source(tmp_path / "elsewhere", "other.example.org", "10.9.0.0/16"))
    assert f"is mounted at {files}, which datasets may not use" in str(error) and error.option == "export"
    assert len(content(source(tmp_path / "elsewhere", endpoint))) == 4


def test_a_mount_of_another_export_is_not_taken_for_this_one(files: Path, mounted: Mounted) -> None:
    mounted(files, "nas.example.org:/other")
    error = refused(source(files.parent, path=str(files)))
    assert f"{files} is a mount of nas.example.org:/other, not of nas.example.org:/srv/models." in str(error)


def test_a_mount_that_another_name_of_the_server_was_used_for_is_recognised(files: Path, mounted: Mounted) -> None:
    mounted(files, "storage:/srv/models", address="10.1.2.3")
    assert len(content(source(files.parent, path=str(files), server="10.1.2.3"))) == 4
    assert "not of" in str(refused(source(files.parent, path=str(files), server="10.1.2.4")))


def test_what_is_not_mounted_and_cannot_be_is_said_with_what_to_type(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nfs_mounts, "hindrance", lambda: "the kernel of this machine has no NFS client")
    message = str(refused(source(tmp_path, "nas.example.org", mounts=tmp_path, options="vers=4.1,nconnect=8")))
    assert "nas.example.org:/srv/models is not mounted on this machine." in message
    assert "The console does not mount it: the kernel of this machine has no NFS client." in message
    assert (
        "`mkdir -p /mnt/models && mount -t nfs -o ro,nosuid,nodev,noexec,vers=4.1,nconnect=8,soft "
        "nas.example.org:/srv/models /mnt/models`"
    ) in message
    assert "DATASET_ROOTS=/mnt/models" in message


def test_a_server_that_is_not_allowed_is_not_mounted(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nfs_mounts, "hindrance", lambda: "")
    message = str(refused(source(tmp_path, "other.example.org", mounts=tmp_path / "mounts")))
    assert (
        "nas.example.org:2049 is not a server that datasets may be read from" in message
        and "DATASET_ENDPOINTS" in message
    )
    assert not (tmp_path / "mounts").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("server", "-o rw"), ("export", "srv"), ("options", "rw"), ("subpath", "../x")]
)
def test_what_is_wrong_is_said_at_its_field(option: str, value: str, files: Path) -> None:
    assert refused(source(files.parent, path=str(files), **{option: value})).option == option


def test_versions_hold_for_one_export_only(files: Path, mounted: Mounted) -> None:
    def fingerprint(nfs_source: Any) -> str:
        return str(nfs_source.plan("svm").fingerprint)

    plain, same = source(files.parent, path=str(files)), source(files.parent, path=str(files), server="other")
    local = LocalSource({"path": str(files)}, Site(roots=(files.parent,)))
    assert fingerprint(plain) == fingerprint(same) != fingerprint(local)
    mounted(files)
    mounted_fingerprint = fingerprint(source(files.parent))
    assert mounted_fingerprint != fingerprint(plain) and mounted_fingerprint == fingerprint(
        source(files.parent, path=str(files))
    )


def test_the_kind_is_registered() -> None:
    assert isinstance(registry.make("nfs", HERE, Site()), NfsSource)
