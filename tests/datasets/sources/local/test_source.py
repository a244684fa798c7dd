"""The local source: what it lists, what it plans, and that nothing outside the dataset can be read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.errors import SourceChanged, SourceError
from datasets.sources.base import Site
from datasets.sources.local import openat
from datasets.sources.local.source import LocalSource
from tests.datasets.sources.reading import content

SECRET = b"the secret of another team"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the dataset, inside the allowed root: allowed for other datasets, not for this one."""
    folder = tmp_path / "allowed" / "others"
    folder.mkdir(parents=True)
    (folder / "secret.bin").write_bytes(SECRET)
    return folder


def names(source: LocalSource, path: str = "") -> list[str]:
    return [entry.name for entry in source.list(path).entries]


def every_way_in(source: LocalSource, path: str) -> list[Callable[[], object]]:
    return [
        lambda: source.list(path),
        lambda: source.entry(path),
        lambda: source.plan(path),
        lambda: source.read(path, 100),
    ]


def test_a_folder_is_listed_with_folders_first(source: LocalSource) -> None:
    listed = source.list("")
    assert [(entry.path, entry.is_dir, entry.size) for entry in listed.entries] == [
        ("svm", True, 0),
        ("README.txt", False, 7),
    ]
    assert [entry.path for entry in source.list("svm").entries] == ["svm/1", "svm/config.pbtxt"]
    assert listed.entries[1].modified > 1e9
    assert (listed.total, listed.next) == (2, "")


def test_a_long_folder_comes_in_pages(source: LocalSource, files: Path) -> None:
    (files / "many").mkdir()
    for number in range(25):
        (files / "many" / f"{number:02}").touch()
    pages = [source.list("many", offset, 10) for offset in ("", "10", "20")]
    assert [len(page.entries) for page in pages] == [10, 10, 5]
    assert [page.next for page in pages] == ["10", "20", ""]
    assert {page.total for page in pages} == {25}
    assert pages[1].entries[0].name == "10"


def test_a_plan_holds_every_file_below_sorted(source: LocalSource) -> None:
    plan = source.plan("svm")
    assert [(file.path, file.size) for file in plan.files] == [
        ("1/model.py", 15),
        ("1/weights.bin", 256_000),
        ("config.pbtxt", 30),
    ]
    assert plan.total_bytes == 256_045


def test_a_plan_of_the_same_files_has_the_same_fingerprint(source: LocalSource, files: Path) -> None:
    before = source.plan("svm").fingerprint
    assert source.plan("svm").fingerprint == before
    (files / "svm" / "1" / "model.py").write_text("print('hallo')\n")
    assert source.plan("svm").fingerprint != before


def test_a_plan_of_one_file_names_it_by_its_last_part(source: LocalSource) -> None:
    assert [file.path for file in source.plan("svm/1/model.py").files] == ["model.py"]
    assert content(source, "svm/1/model.py") == {"model.py": b"print('hello')\n"}


def test_a_folder_may_hold_a_file_of_its_own_name(source: LocalSource, files: Path) -> None:
    (files / "a").mkdir()
    (files / "a" / "a").write_text("inner")
    assert content(source, "a") == {"a": b"inner"}
    assert content(source, "a/a") == {"a": b"inner"}


def test_empty_folders_are_planned_too(source: LocalSource, files: Path) -> None:
    (files / "ensemble" / "1").mkdir(parents=True)
    (files / "ensemble" / "config.pbtxt").touch()
    plan = source.plan("ensemble")
    assert plan.empty_dirs == ("1",)
    (files / "ensemble" / "2").mkdir()
    assert source.plan("ensemble").fingerprint != plan.fingerprint


def test_a_folder_without_files_cannot_be_planned(source: LocalSource, files: Path) -> None:
    (files / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(SourceError, match="no files in empty"):
        source.plan("empty")


def test_reading_starts_where_it_is_asked_to(source: LocalSource) -> None:
    assert content(source, "README.txt", offset=4) == {"README.txt": b"ls\n"}


@pytest.mark.parametrize(
    "path", ["..", "../others", "../others/secret.bin", "svm/../../others/secret.bin", "./../others", "svm/.."]
)
def test_dots_do_not_lead_out(source: LocalSource, outside: Path, path: str) -> None:
    for call in every_way_in(source, path):
        with pytest.raises(SourceError, match=r"'\.\.'"):
            call()


def test_an_absolute_path_does_not_lead_out(source: LocalSource, outside: Path) -> None:
    for call in every_way_in(source, str(outside / "secret.bin")):
        with pytest.raises(SourceError, match="slash"):
            call()


def test_a_nul_is_refused(source: LocalSource) -> None:
    for call in every_way_in(source, "svm\0/../.."):
        with pytest.raises(SourceError, match="NUL"):
            call()


@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
@pytest.mark.parametrize("target", ["secret.bin", ""], ids=["file", "folder"])
def test_a_link_does_not_lead_out(source: LocalSource, files: Path, outside: Path, target: str, relative: bool) -> None:
    goal = outside / target
    (files / "svm" / "link").symlink_to(os.path.relpath(goal, files / "svm") if relative else goal)
    paths = ["svm/link"] + ([] if target else ["svm/link/secret.bin"])
    for path in paths:
        for call in every_way_in(source, path):
            with pytest.raises(SourceError, match="leads outside"):
                call()
    [shown] = [entry for entry in source.list("svm").entries if entry.name == "link"]
    assert (shown.is_dir, shown.size, shown.modified) == (False, 0, 0.0)  # not even its size is told
    assert shown.problem == "a link that leads outside the dataset"
    with pytest.raises(SourceError, match="link is a symbolic link that leads outside"):
        source.plan("svm")


def test_a_chain_of_links_does_not_lead_out(source: LocalSource, files: Path, outside: Path) -> None:
    (files / "one").symlink_to("svm/two")
    (files / "svm" / "two").symlink_to("../svm/../../others")
    for call in every_way_in(source, "one/secret.bin"):
        with pytest.raises(SourceError, match="leads outside"):
            call()


def test_a_link_to_the_datasets_own_parent_by_its_full_name_does_not_lead_out(source: LocalSource, files: Path) -> None:
    (files / "up").symlink_to(f"{files}/../others")
    with pytest.raises(SourceError, match="leads outside"):
        source.entry("up")


def test_links_that_stay_inside_are_followed(source: LocalSource, files: Path) -> None:
    (files / "blobs").mkdir()
    (files / "blobs" / "abc").write_bytes(b"weights")
    (files / "snapshot").mkdir()
    (files / "snapshot" / "model.safetensors").symlink_to("../blobs/abc")
    (files / "snapshot" / "absolute").symlink_to(files / "blobs" / "abc")
    (files / "snapshot" / "folder").symlink_to("../svm/1")
    listed = {entry.name: (entry.is_dir, entry.size) for entry in source.list("snapshot").entries}
    assert listed == {"model.safetensors": (False, 7), "absolute": (False, 7), "folder": (True, 0)}
    contents = content(source, "snapshot")
    assert contents["model.safetensors"] == contents["absolute"] == b"weights"
    assert contents["folder/model.py"] == b"print('hello')\n"


def test_a_device_behind_a_link_is_refused(source: LocalSource, files: Path) -> None:
    (files / "zero").symlink_to("/dev/zero")
    with pytest.raises(SourceError, match="leads outside"):
        source.read("zero", 10)


def test_a_file_swapped_for_a_link_after_the_plan_is_not_followed(
    source: LocalSource, files: Path, outside: Path
) -> None:
    planned = source.plan("svm/1").files[1]
    (files / "svm" / "1" / "weights.bin").unlink()
    (files / "svm" / "1" / "weights.bin").symlink_to(outside / "secret.bin")
    with pytest.raises(SourceError):
        source.open(planned, "svm/1")


@pytest.mark.parametrize("name", ["svm/1/weights.bin", "svm/1"], ids=["file", "folder"])
def test_a_name_swapped_between_the_look_and_the_open_is_not_followed(
    source: LocalSource, files: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (outside / "weights.bin").write_bytes(SECRET)
    original = openat._open_step

    def swap_first(step: str, *args: object, **options: bool) -> int:
        if step == name.rsplit("/", 1)[-1]:
            (files / name).rename(files / "moved")
            (files / name).symlink_to(outside / ("weights.bin" if "." in name else ""))
        return original(step, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(openat, "_open_step", swap_first)
    with pytest.raises(SourceError):
        source.read("svm/1/weights.bin", 100)


def test_a_dataset_directory_swapped_for_a_link_after_the_check_is_not_followed(
    source: LocalSource, files: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "secret.bin").write_bytes(SECRET)
    real_open = os.open

    def swap_first(path: object, *args: int, **options: int) -> int:
        if path == "models":
            files.rename(files.with_name("moved"))
            files.symlink_to(tmp_path / "far")
        return real_open(path, *args, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(openat.os, "open", swap_first)
    with pytest.raises(SourceError):
        source.list("")


def test_a_directory_outside_the_allowed_roots_cannot_be_used(tmp_path: Path, files: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "allowed-too-long-a-name").mkdir()
    (tmp_path / "allowed" / "link").symlink_to(tmp_path / "far")
    # "nowhere" does not exist: outside, that is not told.
    for directory in ("far", "allowed/../far", "allowed/link", "allowed-too-long-a-name", "nowhere", "allowed/../no"):
        source = LocalSource({"path": str(tmp_path / directory)}, Site(roots=(tmp_path / "allowed",)))
        with pytest.raises(SourceError, match="not inside a directory that datasets may use"):
            source.check()


def test_an_allowed_root_may_itself_be_a_link_and_be_a_dataset(tmp_path: Path, files: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "allowed")
    source = LocalSource({"path": str(tmp_path / "link")}, Site(roots=(tmp_path / "link",)))
    assert names(source) == ["models"]


def test_the_check_says_what_was_reached(source: LocalSource, files: Path) -> None:
    assert source.check() == f"{files} can be read: 2 entries."


def test_a_directory_that_is_away_is_worth_another_try(tmp_path: Path, files: Path) -> None:
    with pytest.raises(SourceError, match="does not exist") as caught:
        LocalSource({"path": str(files / "gone")}, Site(roots=(tmp_path / "allowed",))).check()
    assert not caught.value.permanent


def test_a_file_as_a_datasets_directory_is_refused(tmp_path: Path, files: Path) -> None:
    with pytest.raises(SourceError, match="not a directory"):
        LocalSource({"path": str(files / "README.txt")}, Site(roots=(tmp_path / "allowed",))).check()


@pytest.mark.parametrize("path", ["nothing", "README.txt/below", "svm/1/2/3"])
def test_what_is_not_there_is_named(source: LocalSource, path: str) -> None:
    with pytest.raises(SourceError, match=f"There is no {path}") as caught:
        source.entry(path)
    assert caught.value.permanent


def test_a_file_is_not_listed_and_a_folder_not_read(source: LocalSource) -> None:
    with pytest.raises(SourceError, match="is a file"):
        source.list("README.txt")
    with pytest.raises(SourceError, match="is a folder"):
        source.read("svm", 10)


@pytest.mark.parametrize(
    "change", ["content", "size", "gone", "replaced with the same time", "written, and the time put back"]
)
def test_another_version_is_not_opened(source: LocalSource, files: Path, change: str) -> None:
    path = files / "README.txt"
    planned = source.plan("README.txt").files[0]
    info = path.stat()
    if change == "gone":
        path.unlink()
    elif change == "replaced with the same time":
        other = files / "other"
        other.write_text("MODELS\n")
        os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
        other.rename(path)
    else:
        path.write_text("x" if change == "size" else "MODELS\n")
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + (change == "content")))
    with pytest.raises(SourceChanged, match=r"README\.txt changed"):
        source.open(planned, "README.txt")


@pytest.mark.parametrize("length", [256_000, 1000])
def test_a_file_that_is_written_while_it_is_read_is_noticed_at_the_end(
    source: LocalSource, files: Path, length: int
) -> None:
    planned = source.plan("svm/1").files[1]
    with source.open(planned, "svm/1", 0, length) as stream:
        assert stream.readinto(memoryview(bytearray(500))) == 500
        (files / "svm" / "1" / "weights.bin").write_bytes(b"x" * 256_000)
        with pytest.raises(SourceChanged):
            stream.readinto(memoryview(bytearray(length - 500)))


def test_a_file_behind_a_link_inside_the_dataset_is_opened_as_well(source: LocalSource, files: Path) -> None:
    (files / "svm" / "linked").symlink_to(files / "README.txt")
    assert content(source, "svm")["linked"] == b"models\n"


def test_no_descriptor_is_left_open(source: LocalSource, files: Path, outside: Path) -> None:
    (files / "svm" / "out").symlink_to(outside)
    (files / "in").symlink_to(files / "svm" / "1")
    content(source, "svm/1")  # from here on the source holds the folder that it read last
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("", "svm", "in", "in/model.py", "svm/out", "nothing", "svm/1/model.py"):
        for call in every_way_in(source, path):
            with contextlib.suppress(SourceError):
                call()
    content(source, "svm/1")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_plan_that_is_stopped_stops(source: LocalSource) -> None:
    def stop() -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        source.plan("svm", beat=stop)
