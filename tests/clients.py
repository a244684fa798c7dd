"""Runs a client that we did not write: a script in an environment of its own (`make clients`), in a process of its own.

A script reads one JSON object from its input and writes one to its output; see tests/integration/seeds/clients/.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from console import home

SCRIPTS = Path(__file__).parent / "integration" / "seeds" / "clients"


def python(environment: str = "clients") -> Path:
    runtimes = os.environ.get("CONSOLE_RUNTIMES")
    path = (Path(runtimes) if runtimes else home.CHECKOUT / "var" / "runtimes") / environment / "bin" / "python"
    if not path.is_file():
        pytest.fail("the clients of others are not installed: run `make clients`")
    return path


def call(script: str, environment: str = "clients", timeout: float = 60, **given: Any) -> Any:
    """What the script in `clients/` says. Fails the test with the script's own words when it ends badly."""
    done = subprocess.run(
        [python(environment), "-P", SCRIPTS / f"{script}.py"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=variables(),
        cwd=SCRIPTS,
    )
    assert done.returncode == 0, f"{script}: {done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def variables() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "NO_PROXY": "*"}
