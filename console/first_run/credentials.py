"""credentials.json: how the person who started the console gets in. Mode 0600, replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path

from console.files import replace


def read(path: Path) -> dict[str, str]:
    """Empty before the first run."""
    try:
        values: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return values


def write(path: Path, values: dict[str, str]) -> None:
    replace(path, (json.dumps(values, indent=2) + "\n").encode())
