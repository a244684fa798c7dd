"""Runs a client that we did not write: a script in an environment of its own (`make clients`), in a process of its own.
Its libraries are loaded once.

A script reads one JSON object from its input and writes one to its output; see tests/integration/seeds/clients/.
"""

from __future__ import annotations

import ast
import atexit
import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from console import home
from tests.integration.corpus.interpreter import Interpreter

SCRIPTS = Path(__file__).parent / "integration" / "seeds" / "clients"


def python(environment: str = "clients") -> Path:
    runtimes = os.environ.get("CONSOLE_RUNTIMES")
    path = (Path(runtimes) if runtimes else home.CHECKOUT / "var" / "runtimes") / environment / "bin" / "python"
    if not path.is_file():
        pytest.fail("the clients of others are not installed: run `make clients`")
    return path


def call(script: str, environment: str = "clients", **given: Any) -> Any:
    """What the script in `clients/` says. Fails the test with the script's own words when it ends badly."""
    source = (SCRIPTS / f"{script}.py").read_text()
    stdin = f"import io, sys\nsys.stdin = io.StringIO({json.dumps(given)!r})\n"
    done = _interpreter(script, environment).run(stdin + source, variables(), SCRIPTS)
    assert done.returncode == 0, f"{script}: {done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


@functools.cache
def _interpreter(script: str, environment: str) -> Interpreter:
    """With what the script imports. Each has its own: several libraries bring the same messages of protobuf."""
    modules: list[str] = []
    for node in ast.parse((SCRIPTS / f"{script}.py").read_text()).body:
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    interpreter = Interpreter(python(environment), tuple(modules), variables())
    atexit.register(interpreter.end)
    return interpreter


def variables() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "NO_PROXY": "*"}
