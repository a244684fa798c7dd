"""A Python that has the clients' libraries loaded, and runs each program in a fork of its own: importing takes longest.

As a script: `python -P interpreter.py MODULE...` reads a JSON object a line, and answers with one.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any


class Interpreter:
    """`python` with these modules. Programs run one at a time; several threads may call."""

    def __init__(self, python: Path, modules: tuple[str, ...], env: dict[str, str]) -> None:
        command = [str(python), "-P", __file__, *modules]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self._lock = threading.Lock()

    def run(self, program: str, env: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
        """As `python -P -c program` would."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"program": program, "env": env, "directory": str(directory)}) + "\n")
            answer = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess([program], answer["status"], answer["output"], answer["errors"])

    def end(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def _serve() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_fork(json.loads(line))) + "\n")
        sys.stdout.flush()


def _fork(task: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        if not (pid := os.fork()):
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            os.chdir(task["directory"])
            os.environ.clear()
            os.environ.update(task["env"])
            sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
            os._exit(_execute(task["program"]))  # taking down what is loaded takes as long as loading it
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for file in (output, errors):
            file.seek(0)
        return {
            "status": status,
            "output": output.read().decode(errors="replace"),
            "errors": errors.read().decode(errors="replace"),
        }


def _execute(program: str) -> int:
    status = 0
    try:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stderr.write("" if status == end.code or end.code is None else f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    _serve()
