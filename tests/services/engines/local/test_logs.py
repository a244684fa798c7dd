from __future__ import annotations

from pathlib import Path

import pytest

from services.engines.local.logs import read


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


def test_a_log_that_is_not_there_is_empty(log: Path) -> None:
    assert read(log, None, 100).text == ""
    assert read(log, 0, 100).next_offset == 0


def test_without_an_offset_it_is_the_end_from_a_whole_line_on(log: Path) -> None:
    log.write_text("first\nsecond\nthird\n")
    chunk = read(log, None, 9)
    assert chunk.text == "third\n"
    assert chunk.next_offset == 19


def test_with_the_offset_of_the_last_read_only_the_new_text_comes(log: Path) -> None:
    log.write_text("first\n")
    offset = read(log, None, 100).next_offset
    assert read(log, offset, 100).text == ""
    with log.open("a") as file:
        file.write("second\n")
    chunk = read(log, offset, 100)
    assert (chunk.text, chunk.next_offset) == ("second\n", 13)


def test_after_a_rotation_the_rest_of_the_old_file_comes_before_the_new_one(log: Path) -> None:
    log.write_text("first\nsecond\n")
    offset = read(log, 0, 6).next_offset
    log.rename(log.with_name("x.log.1"))
    log.write_text("3\n")
    chunk = read(log, offset, 100)
    assert (chunk.text, chunk.next_offset) == ("second\n3\n", 2)


def test_after_a_rotation_a_small_limit_still_reads_everything_in_order(log: Path) -> None:
    log.with_name("x.log.1").write_text("0123456789")
    log.write_text("ab")
    offset, text = 3, ""
    for _ in range(10):
        chunk = read(log, offset, 4)
        text, offset = text + chunk.text, chunk.next_offset
    assert text == "3456789ab"


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_character_is_never_cut_in_two(log: Path, cut: int) -> None:
    log.write_text("aé€😀z", encoding="utf-8")
    first = read(log, 0, cut)
    rest = read(log, first.next_offset, 100)
    assert first.text + rest.text == "aé€😀z"


@pytest.mark.parametrize("cut", range(1, 11))
@pytest.mark.parametrize("limit", [4, 5, 100])
def test_a_character_that_a_rotation_cut_in_two_is_read_whole(log: Path, cut: int, limit: int) -> None:
    raw = "aé€😀z".encode()
    log.with_name("x.log.1").write_bytes(b"0" * 50 + raw[:cut])
    log.write_bytes(raw[cut:])
    text, offset = "", 50
    for _ in range(10):
        chunk = read(log, offset, limit)
        text, offset = text + chunk.text, chunk.next_offset
    assert text == "aé€😀z"


def test_bytes_that_are_no_text_are_replaced(log: Path) -> None:
    log.write_bytes(b"a\xff\xc3b\n")
    assert read(log, None, 100).text == "a��b\n"
