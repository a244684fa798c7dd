"""The runtime environment: what is missing is said. Preparing a real one is in tests/integration."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.frameworks.triton import runtime


def test_an_empty_environment_is_not_installed(tmp_path: Path) -> None:
    assert runtime.problem(tmp_path) == "The Triton runtime is not installed; run `make runtime-triton`."


def test_an_environment_whose_backends_were_not_prepared_is_not_complete(tmp_path: Path) -> None:
    server = tmp_path / "lib" / "python3.11" / "site-packages" / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    server.parent.mkdir(parents=True)
    server.write_text("")
    assert "is not complete" in runtime.problem(tmp_path)
    (tmp_path / "backends" / "python").mkdir(parents=True)
    (tmp_path / "backends" / "python" / "triton_python_backend_stub").write_text("")
    assert "is not complete" in runtime.problem(tmp_path)
    (tmp_path / "backends" / ".prepared").write_text("")
    assert runtime.problem(tmp_path) == ""


def test_preparing_without_the_wheel_says_what_to_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(runtime.RuntimeProblem, match=r"install requirements/runtime-triton\.txt"):
        runtime.prepare(tmp_path)
    assert runtime.main([str(tmp_path)]) == 1
    assert "holds no tritonserver" in capsys.readouterr().err
    assert runtime.main([]) == 2


def test_the_stub_asks_for_a_regular_interpreter_and_nothing_else_in_it_moves() -> None:
    names = b"\0Py_Finalize\0PyConfig_InitIsolatedConfig\0PyConfig_Clear\0"
    changed = runtime.regular(names)
    assert changed == b"\0Py_Finalize\0PyConfig_InitPythonConfig\0\0\0PyConfig_Clear\0"
    assert len(changed) == len(names)
    assert runtime.regular(changed) == changed, "a stub of a later Triton is left as it is"
