"""`make bench-gateway` says what it measured, what it could not, and leaves nothing. Its figures are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import gateway
from bench.gateway import Part
from bench.targets import null
from console.home import CHECKOUT
from tests.bench.test_bench_smoke import leftovers
from tests.servers.triton import runtime_root


def test_what_is_missing_and_what_failed_is_said() -> None:
    part = Part("A part", ["| a table |"], ["good (as wanted)."], {})
    text = "\n".join(gateway.in_words({"one": part, "two": None}, ["two: FAILED", "three: apt install nginx"]))
    assert "#### A part" in text and "- good (as wanted)." in text
    assert "Not measured here: two: FAILED; three: apt install nginx." in text


def test_a_machine_without_nginx_goes_on_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(null, "available", lambda: False)
    parts, missing = gateway.measure(["scale", "changes"], gateway.LITTLE, tmp_path)
    assert parts == {}
    assert len(missing) == 2 and all("apt install nginx" in message for message in missing)


def test_the_documentation_has_the_marks() -> None:
    page = (CHECKOUT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert all(mark in page for mark in gateway.MARKS)


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_a_quick_run_streams_every_frame_and_leaves_no_process(tmp_path: Path) -> None:
    runtime_root()
    command = [sys.executable, "-m", "bench.gateway", "--quick", "--only", "streams,changes", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("doors-*.json")
    figures = json.loads(file.read_text())
    streams = figures["parts"]["streams"]["figures"]["targets"]["gateway"]
    assert streams["streams"] > 0 and streams["frames"] > 0
    assert (streams["cut"], streams["lost"]) == (0, 0)
    if null.available():
        changes = figures["parts"]["changes"]["figures"]
        assert changes["failed"] == [] and changes["streams"]["cut"] == 0
        assert changes["requests"]["REST"] > 0 and changes["requests"]["gRPC"] > 0
    assert "isk_" not in done.stdout + done.stderr + file.read_text(), "a key is in the output"
    assert not leftovers(), "processes are left"
