from __future__ import annotations

import ast
import fcntl
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from console.install import preflight


def test_it_parses_on_python_3_6_and_uses_nothing_that_2_7_has_not() -> None:
    source = Path(preflight.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 6))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.AsyncFunctionDef, ast.NamedExpr, ast.Nonlocal, ast.Starred)
    assert [node for node in ast.walk(tree) if isinstance(node, newer)] == []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if node.returns or node.args.kwonlyargs] == []
    source.encode("ascii")


def test_it_is_content_with_this_machine(tmp_path: Path) -> None:
    env = {"CONSOLE_HOME": str(tmp_path), "CONSOLE_RUNTIMES": str(tmp_path / "r"), "PATH": "/usr/bin"}
    for name in ("CONSOLE_PORT", "GATEWAY_PORT"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            env[name] = str(free.getsockname()[1])
    (tmp_path / "r" / "triton").mkdir(parents=True)
    (tmp_path / "r" / "triton" / ".stamp-runtime-triton").touch()  # then little disk is needed
    done = subprocess.run([sys.executable, preflight.__file__], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 10), (3, 13)])
def test_another_python_is_named_with_what_to_install(version: tuple[int, int]) -> None:
    text = preflight.python_problem(version)
    assert text.startswith("Python 3.11 or 3.12 is needed, this is {}.{}.".format(*version))
    assert "apt install" in text
    assert "PYTHON=" in text


@pytest.mark.parametrize("version", [(3, 11), (3, 12)])
def test_the_pythons_that_fit_are_taken(version: tuple[int, int]) -> None:
    assert preflight.python_problem(version) is None


def test_a_python_without_venv_is_told_which_package_has_it() -> None:
    def importer(name: str) -> None:
        if name == "ensurepip":
            raise ImportError(name)

    assert f"python3.{sys.version_info[1]}-venv" in preflight.venv_problem(importer)


def test_an_old_or_another_c_library_is_refused() -> None:
    assert "this is 2.31" in preflight.glibc_problem((2, 31))
    assert "Alpine" in preflight.glibc_problem(None)
    assert preflight.glibc_problem((2, 35)) is None
    assert preflight.glibc_version() > (2, 0)


def test_another_machine_is_refused() -> None:
    assert "Darwin on arm64" in preflight.machine_problem("Darwin", "arm64")
    assert preflight.machine_problem("Linux", "x86_64") is None


def test_too_little_disk_is_said_with_both_figures() -> None:
    assert "1.5 GiB are free in /data and about 6 GiB" in preflight.disk_problem("/data", 3 << 29, 6)
    assert preflight.disk_problem("/data", 6 << 30, 6) is None


def test_room_for_vllm_is_asked_for_only_where_vllm_is_about_to_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONSOLE_RUNTIMES", str(tmp_path))
    monkeypatch.setattr(preflight, "free_bytes", lambda path: 4 << 30)
    assert not [text for text in preflight.problems() if "GiB" in text]
    [text] = preflight.vllm_problems()
    assert "about 5 GiB are needed" in text and "CONSOLE_RUNTIMES=" in text
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / ".stamp-runtime-vllm").touch()
    assert preflight.vllm_problems() == []


def test_free_disk_is_asked_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert preflight.free_bytes(str(tmp_path / "not" / "yet")) > 0


def test_a_home_too_long_for_unix_sockets_is_refused() -> None:
    assert "too long" in preflight.path_problem("/" + "x" * 100)
    assert preflight.path_problem("/home/someone/inference-console/var") is None


@pytest.mark.parametrize("path", ["/home/My Projects/console/var", "/data/[1]", "/it's", "/a\nb", "/100%", "/$HOME"])
def test_a_home_that_a_shell_would_read_otherwise_is_refused(path: str) -> None:
    assert preflight.path_problem(path).endswith("Choose another CONSOLE_HOME.")


def test_a_taken_port_is_named_with_the_variable_that_moves_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        text = preflight.port_problem("GATEWAY_PORT", "127.0.0.1", str(port))
    assert text.startswith(f"GATEWAY_PORT={port} cannot be used on 127.0.0.1 (Address already in use).")
    assert "GATEWAY_PORT=<port> make run" in text


def test_a_port_that_is_no_number_is_refused() -> None:
    assert "CONSOLE_PORT=http cannot be used" in preflight.port_problem("CONSOLE_PORT", "127.0.0.1", "http")


def test_a_home_that_is_in_use_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert not preflight.already_running(str(tmp_path))
    with (tmp_path / "run" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert preflight.already_running(str(tmp_path))
    assert not preflight.already_running(str(tmp_path))
