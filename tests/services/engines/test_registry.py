from __future__ import annotations

from pathlib import Path

import pytest

from console.home import Home
from services.engines import registry
from services.engines.local import LocalEngine
from services.errors import EngineError


def test_engines_are_found_by_name_and_touch_nothing(tmp_path: Path) -> None:
    engine = registry.get("local", Home(tmp_path / "home", tmp_path / "runtimes"), "auto")
    assert isinstance(engine, LocalEngine)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_engine_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no engine 'slurm'.*local"):
        registry.get("slurm", Home(tmp_path, tmp_path), "auto")
