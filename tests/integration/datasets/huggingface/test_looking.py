"""Looking at a repository before anything is copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.inspect.recognise import recognise
from tests.integration.datasets.huggingface.asking import WEIGHTS, Make
from tests.servers.hub import Hub

pytestmark = pytest.mark.integration


def test_checking_says_what_was_reached_and_reads_of_the_storage_too(server: Hub, source: Make, model: Path) -> None:
    commit = server.push("org/model", model)
    report = source().check()
    assert report == (
        f"org/model can be read at 127.0.0.1:{server.hub_port}: 5 files at main, which is commit {commit[:12]}."
    )
    assert [line["range"] for line in server.requests("cdn")] == ["bytes=0-0"]


def test_checking_finds_what_the_patterns_choose_however_far_down_it_is(server: Hub, source: Make) -> None:
    server.set(page=2)
    assert ": 1 file at main" in source(include="onnx/sub dir/*").check()


def test_folders_come_first_and_pages_follow_each_other(source: Make, model: Path) -> None:
    repository = source()
    assert repository.entry("").is_dir
    assert repository.entry("onnx").is_dir
    assert repository.entry("model.safetensors").size == WEIGHTS
    first = repository.list("", limit=3)
    assert [entry.path for entry in first.entries] == ["onnx", "config.json", "empty.txt"]
    assert first.total == 4
    second = repository.list("", after=first.next, limit=3)
    assert [entry.path for entry in second.entries] == ["model.safetensors"]
    assert second.next == ""


def test_a_folder_too_long_for_one_answer_is_paged_by_the_hub_itself_at_one_commit(
    server: Hub, source: Make, tmp_path: Path
) -> None:
    long = tmp_path / "long"
    (long / "a").mkdir(parents=True)
    (long / "a" / "inside.txt").write_text("x")
    for number in range(30):
        (long / f"{number:02}.txt").write_text(str(number))
        (long / f"{number:02}.skip").write_text(str(number))
    server.push("org/long", long)
    server.set(page=8)
    seen: list[str] = []
    after = ""
    while True:
        page = source("org/long", exclude="*.skip").list("", after=after, limit=5)  # another object each time
        assert page.total is None
        assert len(page.entries) <= 5
        seen += [entry.path for entry in page.entries]
        if seen and len(seen) < 7:
            (long / "00.txt").unlink(missing_ok=True)
            server.push("org/long", long)
        if not (after := page.next):
            break
    assert seen == ["a", *(f"{number:02}.txt" for number in range(30))]


def test_a_cursor_that_is_none_shows_the_first_page(source: Make) -> None:
    assert source().list("", after="nonsense") == source().list("")


def test_what_a_repository_is_can_be_recognised(source: Make) -> None:
    assert recognise(source(), "").kind == "huggingface"


def test_the_beginning_of_any_file_can_be_read(source: Make, model: Path) -> None:
    repository = source()
    for path in ("config.json", "empty.txt", "model.safetensors", "onnx/sub dir/ünï #1?%20.txt"):
        assert repository.read(path, 10) == (model / path).read_bytes()[:10]
    assert repository.read("config.json", 1000) == (model / "config.json").read_bytes()
