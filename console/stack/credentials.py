"""credentials.json: how the person who started the console gets in. Mode 0600, replaced as a whole."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path


def read(path: Path) -> dict[str, str]:
    """Empty when there is none yet."""
    try:
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def write(path: Path, values: dict[str, str]) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=".credentials-", dir=path.parent)  # mkstemp makes it 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(values, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)
