"""Text as Notepad and PowerShell write it."""

from __future__ import annotations

import pytest

from console.formats.text import decode, marked_encoding


@pytest.mark.parametrize(
    ("encoding", "mark", "words"),
    [
        ("utf-8", "", ""),
        ("utf-8-sig", "", "UTF-8 with a byte order mark"),
        ("utf-16", "", "UTF-16"),
        ("utf-16-le", "\ufeff", "UTF-16"),
        ("utf-16-be", "\ufeff", "UTF-16"),
        ("utf-32", "", "UTF-32"),
        ("utf-32-be", "\ufeff", "UTF-32"),
    ],
)
def test_a_mark_says_the_encoding_and_is_no_part_of_the_text(encoding: str, mark: str, words: str) -> None:
    content = f"{mark}schöne Wörter\r\n模型".encode(encoding)
    assert decode(content) == "schöne Wörter\r\n模型"
    assert marked_encoding(content) == words


@pytest.mark.parametrize("content", [b"\xff", b"\xff\xfe\x00", "ü".encode("latin-1"), b"\xef\xbb\xbf\xff"])
def test_what_is_no_text_is_not_decoded(content: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decode(content)
