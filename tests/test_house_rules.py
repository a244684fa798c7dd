"""Rules of the repository that a machine can check."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from console.home import CHECKOUT

LONGEST = 400


def tracked(*patterns: str) -> list[Path]:
    """Files that git knows; without git (an unpacked archive) there is nothing to check."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", *patterns], cwd=CHECKOUT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [CHECKOUT / name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file()]


def test_no_source_file_is_over_400_lines() -> None:
    files = tracked("*.py", "*.html", "*.css", "*.js", "*.lua", "Makefile")
    long = [path.name for path in files if len(path.read_text().splitlines()) > LONGEST]
    assert files
    assert long == []


def test_scripts_of_the_gateway_read_numbers_by_one_grammar() -> None:
    """`tonumber` takes signs, exponents and hexadecimal digits, which a backend reads as another number."""
    scripts = tracked("services/gateway/lua/*.lua")
    assert "tonumber(" in next(path for path in scripts if path.name == "numbers.lua").read_text()
    assert [path.name for path in scripts if "tonumber(" in path.read_text()] == ["numbers.lua"]


def test_no_docstring_starts_with_of() -> None:
    """One that does says whose a thing is, and leaves to the reader what it is."""
    files = tracked("*.py")
    assert [path.name for path in files if re.search(r'^\s*(?:"""|# )Of ', path.read_text(), re.MULTILINE)] == []


def test_no_requirement_names_an_index() -> None:
    for path in tracked("requirements/*"):
        text = path.read_text()
        assert "://" not in text, path
        assert "--index-url" not in text, path


def test_templates_load_nothing_from_elsewhere() -> None:
    for path in tracked("*.html", "*.css", "console/static/*"):
        text = path.read_text()
        assert 'src="http' not in text, path
        assert "url(http" not in text, path
        assert "@import" not in text, path
