"""Clusters that are not wanted any more stay for a while, because routes and keys of before still lead there.

How long: until Envoy says that it has the routes and keys of now, and a moment more, in which its workers have them
too. Since when each of them is not wanted is noted in the gateway's folder, after everything else was written: of a
publisher that died before that, the next one starts to count anew.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

from services.gateway import status
from services.gateway.envoy import document, names

LEFT: Final = ".left"
LINGER_SECONDS: Final = 1.0
"""At least. What Envoy has, its workers have as soon as each of them comes to it."""


def keep(content: bytes, gateway_dir: Path) -> tuple[bytes, bytes]:
    """The clusters to publish: those of `content`, and those of before that may still be led to. And the new note."""
    head, wanted, tail = document.split(content)
    before = document.split(document.published(gateway_dir / names.CLUSTERS))[1]
    renewed = {document.item_name(line) for line in document.new_lines(before, wanted)}
    leaving = [line for line in document.new_lines(wanted, before) if document.item_name(line) not in renewed]
    told, now = _told(gateway_dir), time.time()
    since = {name: told.get(name, now) for name in (document.item_name(line).decode() for line in leaving)}
    gone = {name for name, left in since.items() if now - left > LINGER_SECONDS}
    if gone and status.follows(gateway_dir, (names.ROUTES, names.KEYS)):
        since = {name: left for name, left in since.items() if name not in gone}
        leaving = [line for line in leaving if document.item_name(line).decode() in since]
    return document.join(head, [*wanted, *leaving], tail) if leaving else content, names.dump(since)


def note(gateway_dir: Path) -> bytes:
    """As the last publisher left it."""
    return document.published(gateway_dir / LEFT) or names.dump({})


def _told(gateway_dir: Path) -> dict[str, float]:
    """Nothing when the note cannot be read: then all of them have left just now."""
    try:
        return {str(name): float(left) for name, left in json.loads(note(gateway_dir)).items()}
    except (ValueError, TypeError, AttributeError):
        return {}
