"""All attempts, for the program and for the Triton model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import ATTEMPTS, files, kernel, processes, run_all, sockets, writes

MODULES = (files, writes, processes, sockets, kernel)
NAMES = tuple(ATTEMPTS)


def report(root: Path, *, plain: bool) -> dict[str, Any]:
    """`root`: where targets.json is. `plain`: this program has opened nothing itself."""
    targets = json.loads((root / "targets.json").read_text())
    return {"mark": targets["mark"], "attempts": run_all({**targets, "plain": plain})}
