"""What lies beside a model and is not copied: named in the plan, and shown as what it is."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datasets.errors import SourceChanged, SourceError
from datasets.sources.base import Site
from datasets.sources.local import walk
from datasets.sources.local.source import LocalSource
from datasets.specs import left_out_text

MODEL = ["1/model.py", "1/weights.bin", "config.pbtxt"]
NOBODY = 65534


def planned(source: LocalSource, path: str = "svm") -> tuple[list[str], dict[str, str]]:
    """The files, and what is left out with the reason."""
    plan = source.plan(path)
    return [file.path for file in plan.files], {item.path: item.reason for item in plan.left_out}


def problems(source: LocalSource, path: str = "svm") -> dict[str, str]:
    return {entry.name: entry.left_out for entry in source.list(path).entries if entry.left_out}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything: for as long as this lasts, the thread is somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def readable(files: Path) -> None:
    """For others than root: pytest makes its folders for their owner alone."""
    for folder in (files, *files.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o755)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name may have at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("gone.txt"), "a link to gone.txt, which does not exist"),
        (lambda path: path.symlink_to("1/model.py/x"), "a link to 1/model.py/x, which does not exist"),
        (lambda path: path.symlink_to("../none/../gone.txt"), "a link to ../none/../gone.txt, which does not exist"),
        (lambda path: path.symlink_to(path.name), "a link that leads in a circle"),
        (lambda path: path.symlink_to("."), "a link to a parent folder"),
        (lambda path: path.symlink_to(".."), "a link to a parent folder"),
        (lambda path: path.symlink_to(path.parent), "a link to a parent folder"),
        (os.mkfifo, "a pipe"),
        (make_socket, "a socket"),
    ],
)
def test_what_nothing_can_read_beside_a_model_is_left_out_and_shown_as_what_it_is(
    source: LocalSource, files: Path, make: Callable[[Path], None], reason: str
) -> None:
    before = source.plan("svm").fingerprint
    make(files / "svm" / "notes.txt")
    assert planned(source) == (MODEL, {"notes.txt": reason})
    assert problems(source) == {"notes.txt": reason}
    assert left_out_text(source.plan("svm").left_out) == f"Left out: notes.txt ({reason})."
    assert source.plan("svm").fingerprint == before
    names, left_out = planned(source, "")
    assert names == ["README.txt", *(f"svm/{name}" for name in MODEL)]
    assert left_out == {"svm/notes.txt": reason}


def test_a_link_to_nowhere_that_is_chosen_itself_is_named_as_that(source: LocalSource, files: Path) -> None:
    (files / "svm" / "notes.txt").symlink_to("gone.txt")
    for call in (source.entry, source.list, source.plan, lambda path: source.read(path, 10)):
        with pytest.raises(SourceError, match=r"^svm/notes\.txt is a link to gone\.txt, which does not exist"):
            call("svm/notes.txt")
        for path in ("svm/none", "none/notes.txt", "svm/notes.txt/x"):
            with pytest.raises(SourceError, match=f"There is no {path}"):
                call(path)


def test_a_link_to_a_pipe_is_left_out(source: LocalSource, files: Path) -> None:
    os.mkfifo(files / "pipe")
    (files / "svm" / "notes.txt").symlink_to("../pipe")
    assert planned(source) == (MODEL, {"notes.txt": "a link to a pipe"})
    for call in (source.entry, source.list, source.plan, lambda path: source.read(path, 10)):
        with pytest.raises(SourceError, match=r"notes\.txt is a pipe, neither a file nor a folder"):
            call("svm/notes.txt")


def test_a_link_through_another_folder_into_one_above_is_left_out(source: LocalSource, files: Path) -> None:
    (files / "other").mkdir()
    (files / "other" / "back").symlink_to("../svm/1")
    (files / "other" / "data").write_text("x")
    (files / "svm" / "1" / "other").symlink_to("../../other")
    names, left_out = planned(source)
    assert names == ["1/model.py", "1/other/data", "1/weights.bin", "config.pbtxt"]
    assert left_out == {"1/other/back": "a link to a parent folder"}


def test_a_folder_reached_by_a_link_knows_the_folders_that_it_really_lies_in(source: LocalSource, files: Path) -> None:
    (files / "alias").symlink_to("svm/1")
    (files / "svm" / "1" / "up").symlink_to("../../svm")
    assert planned(source, "alias") == (["model.py", "weights.bin"], {"up": "a link to a parent folder"})


def test_a_link_to_a_folder_beside_is_followed_once_for_each_link(source: LocalSource, files: Path) -> None:
    (files / "svm" / "2").symlink_to("1")
    assert planned(source) == (["1/model.py", "1/weights.bin", "2/model.py", "2/weights.bin", "config.pbtxt"], {})
    assert problems(source) == {}


def test_a_name_that_is_not_utf8_is_shown_and_cannot_be_planned(source: LocalSource, files: Path) -> None:
    Path(os.fsdecode(bytes(files / "svm") + b"/\xff")).touch()
    assert problems(source) == {"\\xff": "a name that is not UTF-8"}
    with pytest.raises(SourceError, match=r"\\xff is not a name in UTF-8"):
        source.plan("svm")


def test_a_link_that_leads_outside_is_shown_and_cannot_be_planned(source: LocalSource, files: Path) -> None:
    (files / "svm" / "secret").symlink_to("/etc/hostname")
    assert problems(source) == {"secret": "a link that leads outside the dataset"}
    with pytest.raises(SourceError, match=r"secret is a symbolic link that leads outside.* Put the file itself there"):
        source.plan("svm")


@pytest.mark.parametrize("name", ["1/weights.bin", "1", "data"])
def test_what_the_console_may_not_read_is_shown_and_refused_by_name(
    source: LocalSource, files: Path, readable: None, name: str
) -> None:
    (files / "svm" / "data").symlink_to("1/weights.bin")
    unreadable_path = "1/weights.bin" if name == "data" else name
    (files / "svm" / unreadable_path).chmod(0)
    with as_nobody():
        assert problems(source, str(Path("svm", name).parent))[Path(name).name] == walk.FORBIDDEN
        with pytest.raises(SourceError, match=rf"^{unreadable_path} may not be read") as caught:
            source.plan("svm")
        assert caught.value.permanent and "chmod a+r" in caught.value.hint
    (files / "svm" / "1").chmod(0o755)


def test_a_folder_of_the_file_system_that_only_root_may_read_is_left_out(
    source: LocalSource, files: Path, readable: None
) -> None:
    (files / "lost+found").mkdir(mode=0)
    with as_nobody():
        names, left_out = planned(source, "")
        assert len(names) == 4 and left_out == {"lost+found": "made by the file system"}
        assert problems(source, "") == {"lost+found": walk.FORBIDDEN}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".DS_Store", "made by macOS"),
        ("1/._model.onnx", "made by macOS"),
        ("__MACOSX/1/._model.py", "made by macOS"),
        ("Icon\r", "made by macOS"),
        ("Thumbs.db", "made by Windows"),
        ("Desktop.ini", "made by Windows"),
        ("@eaDir/model.py/x", "made by a file server"),
        (".git/config", "the history of a version control"),
        (".ipynb_checkpoints/a-checkpoint.py", "made by an editor"),
        ("1/model.py~", "an editor's backup"),
        ("1/.model.py.swp", "an editor's backup"),
        ("#config.pbtxt#", "an editor's backup"),
        (".nfs000000000001", "an open file that was deleted"),
        ("1/__pycache__/x.pyc", "made by Python, which makes it anew"),
        ("1/model.onnx.part", "an upload or download that has not ended"),
        ("model.tmp", "an upload or download that has not ended"),
        (".cache/huggingface/x.lock", "a cache"),
    ],
)
def test_what_systems_and_tools_leave_behind_is_left_out(
    source: LocalSource, files: Path, name: str, reason: str
) -> None:
    path = files / "svm" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    names, left_out = planned(source)
    assert names == MODEL
    [(top, actual_reason)] = left_out.items()
    assert name.startswith(top) and actual_reason == reason
    folder, _, last = f"svm/{top}".rpartition("/")
    assert problems(source, folder) == {last: reason}
    assert source.plan(f"svm/{name}").files[0].path == path.name  # by its own name it is what was asked for


@pytest.mark.parametrize(
    "name",
    [
        ".gitattributes",
        ".gitignore",
        "config.pbtxt.bak",
        "README.md",
        "-rf",
        "~start",
        "~",
        "tmp",
        "part",
        ".part",
        "model.part1",
        "cache",
        "x.tmp.onnx",
        "__pycache__.py",
        "lost",
        "._",
        ".env",
    ],
)
def test_other_names_are_copied(source: LocalSource, files: Path, name: str) -> None:
    (files / "svm" / name).write_text("x")
    assert planned(source) == (sorted([*MODEL, name]), {})


def test_a_folder_of_nothing_but_leftovers_is_an_empty_one(source: LocalSource, files: Path) -> None:
    (files / "ensemble" / "1").mkdir(parents=True)
    (files / "ensemble" / "1" / ".DS_Store").touch()
    with pytest.raises(SourceError, match=r"no files in ensemble.* Left out: 1/\.DS_Store \(made by macOS\)"):
        source.plan("ensemble")
    (files / "ensemble" / "config.pbtxt").touch()
    assert source.plan("ensemble").empty_dirs == ("1",)


def test_a_temporary_file_that_becomes_the_model_while_it_is_listed_is_not_missed(
    source: LocalSource, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "svm" / "1" / "upload").write_text("x")
    access = os.access

    def rename_first(name: str, *args: int, **options: bool) -> bool:
        if name == "upload":
            (files / "svm" / "1" / "upload").rename(files / "svm" / "1" / "arrived.onnx")
        return access(name, *args, **options)

    monkeypatch.setattr(walk.os, "access", rename_first)
    assert planned(source) == (["1/arrived.onnx", *MODEL], {})


def test_a_folder_in_which_names_vanish_all_the_time_is_worth_another_try(
    tmp_path: Path, source: LocalSource, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(name: str, *_: int, **__: bool) -> bool:
        raise FileNotFoundError(name)

    monkeypatch.setattr(walk.os, "access", never)
    with pytest.raises(SourceChanged, match=r"1/model\.py") as caught:
        LocalSource({"path": str(files)}, Site(roots=(tmp_path,))).plan("svm")
    assert not caught.value.permanent


@pytest.mark.parametrize("name", ["{}.bin", "._{}"])
def test_a_folder_of_too_many_names_is_refused_whether_they_are_copied_or_not(
    source: LocalSource, files: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(walk, "MAX_FILES", 5)
    assert len(source.plan("svm").files) == 3
    for number in range(3):
        (files / "svm" / name.format(number)).touch()
    with pytest.raises(SourceError, match="more than 5 files"):
        source.plan("svm")
