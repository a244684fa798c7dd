"""What is planned of a repository, and that its bytes arrive."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import SourceChanged
from tests.integration.datasets.huggingface.asking import WEIGHTS, Make, named, part, refused, whole
from tests.servers.hub import Hub, git_oid

pytestmark = pytest.mark.integration


def test_a_plan_has_what_git_and_the_large_file_storage_say_of_each_file(source: Make, model: Path) -> None:
    plan = source().plan("")
    assert [file.path for file in plan.files] == [
        "config.json",
        "empty.txt",
        "model.safetensors",
        "onnx/model.onnx",
        "onnx/sub dir/ünï #1?%20.txt",
    ]
    config, weights = named(plan, "config.json"), named(plan, "model.safetensors")
    oid = git_oid((model / "config.json").read_bytes())
    assert (config.version, config.check, config.ranged) == (oid, f"git-sha1:{oid}", False)
    sha256 = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    assert (weights.size, weights.version, weights.check) == (WEIGHTS, sha256, f"sha256:{sha256}")
    assert weights.ranged
    assert not named(plan, "onnx/model.onnx").ranged, "an address at the storage is not kept for a small file"


@pytest.mark.parametrize("xet", [False, True])
def test_every_file_of_a_plan_arrives_byte_for_byte(server: Hub, source: Make, model: Path, xet: bool) -> None:
    server.push("org/bytes", model, xet=xet)
    repository = source("org/bytes")
    for file in repository.plan("").files:
        assert whole(repository, file) == (model / file.path).read_bytes(), file.path


def test_a_file_is_read_in_parts_by_many_threads_after_asking_the_hub_once(
    server: Hub, source: Make, model: Path
) -> None:
    server.push("org/parts", model)
    repository = source("org/parts")
    file = named(repository.plan(""), "model.safetensors")
    server.forget_requests()
    step = 200_000
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: part(repository, file, at, min(step, WEIGHTS - at)), range(0, WEIGHTS, step)))
    assert b"".join(parts) == (model / "model.safetensors").read_bytes()
    assert len(server.requests("hub")) == 1
    assert {line["range"] for line in server.requests("cdn")} >= {"bytes=0-199999", "bytes=2800000-2999999"}


def test_a_plan_stays_at_its_commit_while_the_branch_moves(server: Hub, source: Make, model: Path) -> None:
    server.push("org/moves", model)
    repository = source("org/moves")
    old = {path: (model / path).read_bytes() for path in ("config.json", "model.safetensors")}
    plan = repository.plan("")
    (model / "config.json").write_text("{}\n")
    (model / "model.safetensors").write_bytes(os.urandom(WEIGHTS))
    server.push("org/moves", model)
    for path, content in old.items():
        assert whole(repository, named(plan, path)) == content
    assert repository.read("config.json", 100) == old["config.json"]
    newer = repository.plan("")
    assert newer.fingerprint != plan.fingerprint
    assert whole(repository, named(newer, "config.json")) == b"{}\n"
    assert named(newer, "onnx/model.onnx") == named(plan, "onnx/model.onnx"), "what is the same keeps its version"


def test_equal_files_have_one_fingerprint_whatever_they_were_asked_by(server: Hub, source: Make, model: Path) -> None:
    commit = server.push("org/same", model)
    server.push("org/same", model, branch="refs/pr/1")
    revisions = ("", "main", "refs/pr/1", commit)
    prints = {source("org/same", revision=revision).plan("").fingerprint for revision in revisions}
    assert len(prints) == 1
    server.push("org/other", model)
    assert source("org/other").plan("").fingerprint not in prints


def test_a_folder_and_a_single_file_are_plans_too(source: Make, model: Path) -> None:
    repository = source()
    folder = repository.plan("onnx")
    assert [file.path for file in folder.files] == ["model.onnx", "sub dir/ünï #1?%20.txt"]
    assert whole(repository, folder.files[1], "onnx") == b"a name that URLs must quote\n"
    single = repository.plan("onnx/model.onnx")
    assert [file.path for file in single.files] == ["model.onnx"]
    assert whole(repository, single.files[0], "onnx/model.onnx") == (model / "onnx" / "model.onnx").read_bytes()


def test_another_object_opens_the_files_of_a_plan(source: Make, model: Path) -> None:
    for path in ("", "onnx", "onnx/model.onnx"):
        for file in source().plan(path).files:
            inside = path if path.endswith(".onnx") else f"{path}/{file.path}".lstrip("/")
            assert whole(source(), file, path) == (model / inside).read_bytes()


def test_a_file_that_another_object_finds_changed_is_not_read(server: Hub, source: Make, model: Path) -> None:
    server.push("org/later", model)
    plan = source("org/later").plan("")
    (model / "config.json").write_text("{}\n")
    (model / "model.safetensors").write_bytes(b"smaller" * 200_000)
    server.push("org/later", model)
    repository = source("org/later")
    for path in ("config.json", "model.safetensors"):
        with pytest.raises(SourceChanged, match=path):
            repository.open(named(plan, path), "")


def test_what_no_longer_is_what_a_commit_had_is_a_changed_file(server: Hub, source: Make, model: Path) -> None:
    commit = server.push("org/rewritten", model)
    repository = source("org/rewritten")
    plan = repository.plan("")
    server.rewrite("org/rewritten", commit, "config.json", (model / "config.json").read_bytes().swapcase())
    server.rewrite("org/rewritten", commit, "model.safetensors", os.urandom(WEIGHTS))
    for path in ("config.json", "model.safetensors"):
        with pytest.raises(SourceChanged, match=path):
            repository.open(named(plan, path), "")


def test_a_plan_of_many_pages_is_whole_and_beats_at_each(server: Hub, source: Make, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / "many" / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "many" / f"{number % 3}" / f"{number}.txt").write_text(str(number))
    server.push("org/many", tmp_path / "many")
    server.set(page=9)
    beats: list[int] = []
    plan = source("org/many").plan("", beat=lambda: beats.append(1))
    assert {file.path for file in plan.files} == {f"{n % 3}/{n}.txt" for n in range(40)}
    assert len(beats) == 5  # 40 files and 3 folders

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        source("org/many").plan("", beat=stop)


def test_a_listing_that_never_ends_is_given_up(server: Hub, source: Make) -> None:
    for link in ("/elsewhere", "/elsewhere?cursor=same"):
        headers = {"Link": f'<{server.url}{link}>; rel="next"'}
        server.set(faults=[{"match": "/tree/", "status": 200, "headers": headers, "body": []}])
        assert "as a Hugging Face Hub does" in refused(lambda: source().plan("")).message
        server.set(faults=[])


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a//b", "a/./b", "", "a\0b"])
def test_a_name_that_must_not_be_copied_stops_a_plan_and_is_not_shown(server: Hub, source: Make, path: str) -> None:
    row = {"type": "file", "oid": "0" * 40, "size": 1, "path": path}
    server.set(faults=[{"match": "/tree/", "status": 200, "body": [row]}])
    assert "cannot be copied" in refused(lambda: source().plan("")).message
    assert source().list("").entries == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"oid": "W/xyz"},
        {"oid": None},
        {"size": -1},
        {"size": "7"},
        {"lfs": {"oid": "0" * 40, "size": 1, "pointerSize": 1}},
    ],
)
def test_a_listing_that_does_not_say_what_a_file_is_is_refused(
    server: Hub, source: Make, wrong: dict[str, Any]
) -> None:
    row = {"type": "file", "oid": "0" * 40, "size": 1, "path": "file", **wrong}
    server.set(faults=[{"match": "/tree/", "status": 200, "body": [row]}])
    assert "as a Hugging Face Hub does" in refused(lambda: source().plan("")).message


def test_a_listing_of_another_folder_than_was_asked_for_is_refused(server: Hub, source: Make) -> None:
    row = {"type": "file", "oid": "0" * 40, "size": 1, "path": "elsewhere/file"}
    server.set(faults=[{"match": "/tree/", "status": 200, "body": [row]}])
    assert "cannot be copied" in refused(lambda: source().plan("onnx")).message


def test_patterns_choose_what_is_planned_and_what_is_shown(source: Make, model: Path) -> None:
    repository = source(include="*.json, *.txt, *.onnx", exclude="onnx/sub dir/")
    assert [file.path for file in repository.plan("").files] == ["config.json", "empty.txt", "onnx/model.onnx"]
    assert [entry.path for entry in repository.list("").entries] == ["onnx", "config.json", "empty.txt"]
    assert [entry.path for entry in repository.list("onnx").entries] == ["onnx/model.onnx"]
    for call in (repository.entry, repository.plan, lambda path: repository.read(path, 1)):
        error = refused(lambda call=call: call("model.safetensors"))  # type: ignore[misc]
        assert "left out" in error.message


def test_patterns_that_choose_nothing_are_an_error(source: Make, model: Path) -> None:
    repository = source(include="*.gguf")
    for call in (repository.check, lambda: repository.plan("")):
        assert "No file of org/model is chosen" in refused(call).message
