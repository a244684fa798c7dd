"""Which versions Triton loads. That the real one agrees is in tests/integration/corpus."""

from __future__ import annotations

import pytest

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.triton import versions


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", (10,)),
        ("version_policy { }", (0, 1, 2, 10)),  # a policy without a choice is that of all
        ("version_policy { all { } }", (0, 1, 2, 10)),
        ("version_policy { latest { num_versions: 2 } }", (2, 10)),
        ("version_policy { latest { num_versions: 9 } }", (0, 1, 2, 10)),
        ("version_policy { latest { } }", ()),
        ("version_policy { specific { versions: [ 2, 7, 0 ] } }", (0, 2)),
    ],
)
def test_the_policy_chooses(policy: str, expected: tuple[int, ...]) -> None:
    assert versions.loaded(pbtxt.parse(policy), (10, 1, 0, 2)) == expected


def test_without_a_config_the_highest_is_loaded() -> None:
    assert versions.loaded(None, (1, 10, 2)) == (10,)


@pytest.mark.parametrize(
    ("name", "is_version"),
    [
        ("1", True),
        ("0", True),
        ("120", True),
        ("01", False),
        ("00", False),
        ("v1", False),
        ("1.0", False),
        ("-1", False),
        ("²", False),
        ("1" * 18, True),
        ("1" * 19, False),
    ],
)
def test_a_version_is_a_number_without_leading_zeros(name: str, is_version: bool) -> None:
    assert versions.is_version(name) is is_version


@pytest.mark.parametrize(
    ("policy", "folder"),
    [
        ("", "2_old"),
        ("", "2.0"),
        ("", "2024-data"),
        ("version_policy { all { } }", "-5"),
        ("version_policy { specific { versions: [ 1, 2 ] } }", "2_old"),
    ],
)
def test_a_folder_that_triton_takes_for_a_version_is_named(policy: str, folder: str) -> None:
    (problem,) = versions.problems(pbtxt.parse(policy), ["1", folder])
    assert problem.startswith(f"Triton takes the folder {folder} for version ")


@pytest.mark.parametrize(
    ("policy", "folder"),
    [
        ("", "1_old"),
        ("", "0_old"),
        ("", "-5"),
        ("", "old_2"),
        ("", "warmup"),
        ("", "02"),
        ("version_policy { specific { versions: [ 1 ] } }", "2_old"),
    ],
)
def test_a_folder_that_is_not_loaded_is_fine(policy: str, folder: str) -> None:
    assert versions.problems(pbtxt.parse(policy), ["1", folder]) == []


def test_a_number_that_64_bits_do_not_hold_ends_triton() -> None:
    (problem,) = versions.problems(None, ["1", "20261130143432647933"])
    assert "too large for Triton" in problem
