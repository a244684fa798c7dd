"""The format of API keys."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import keys


def test_a_new_key_carries_its_id_and_fits_the_published_pattern() -> None:
    new = keys.generate()
    assert re.fullmatch(keys.PATTERN, new.key)
    assert keys.parse(new.key) == new.id
    assert len(new.id) == 12


def test_the_digest_is_the_sha256_of_the_whole_key() -> None:
    new = keys.generate()
    assert new.digest == keys.digest(new.key) == hashlib.sha256(new.key.encode()).hexdigest()


def test_two_new_keys_differ_in_id_and_secret() -> None:
    new_keys = [keys.generate() for _ in range(200)]
    assert len({new.id for new in new_keys}) == len({new.key for new in new_keys}) == 200


@given(st.integers(0, 65), st.sampled_from(keys.ALPHABET))
def test_one_wrong_character_is_found_by_the_checksum(position: int, character: str) -> None:
    key = keys.generate().key
    changed = key[:position] + character + key[position + 1 :]
    assert changed == key or keys.parse(changed) is None


@pytest.mark.parametrize("text", ["", "isk_", "isk_x", "ghp_" + "0" * 62, "isk_" + "0" * 12 + "-" + "0" * 49, "é" * 66])
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert keys.parse(text) is None


def test_a_line_feed_at_the_end_is_no_part_of_a_key() -> None:
    assert keys.parse(keys.generate().key + "\n") is None
