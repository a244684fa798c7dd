"""`make bench` works: all rows, right answers, nothing left. Its figures are not looked at: tests share a machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from console.home import CHECKOUT
from tests.servers.triton import runtime_root


@pytest.mark.integration
def test_a_quick_bench_prints_every_row_and_leaves_no_process(tmp_path: Path) -> None:
    runtime_root()
    command = [sys.executable, "bench/run.py", "--quick", "--rounds", "1", "--seconds", "0.2", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=150, check=False)

    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (REST|gRPC) \| ([18]) \| .* \*\*\d+\.\d\d\*\* ", done.stdout, re.MULTILINE)
    assert rows == [("REST", "1"), ("REST", "8"), ("gRPC", "1"), ("gRPC", "8")]
    assert len(re.findall(r"^(REST|gRPC) through the gateway at 8 connections", done.stdout, re.MULTILINE)) == 2
    (file,) = tmp_path.glob("gateway-*.json")
    figures = json.loads(file.read_text())
    assert len(figures["comparisons"]) == 4
    for row in figures["comparisons"]:
        assert row["direct"]["requests"] > 0 and row["gateway"]["requests"] > 0
        assert row["gateway"]["cpu_us"]["gateway"] > 0, "the requests did not pass through the gateway"
    assert "isk_" not in done.stdout + done.stderr + file.read_text(), "a key is in the output"
    assert not leftovers(), "processes are left"


def leftovers() -> list[str]:
    """Servers that a bench started and did not end: they run in its temporary directory."""
    folders = []
    for process in psutil.process_iter(["cwd", "ppid"]):
        cwd = process.info["cwd"] or ""
        if "/bench-" in cwd and process.info["ppid"] == 1:
            folders.append(cwd)
    return folders
