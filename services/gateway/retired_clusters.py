"""Keeps removed clusters until Envoy stops routing to them.

A cluster stays until Envoy confirms the current routes and keys, and for another second in which its workers get them.
The time of each removal is written to the gateway's folder, after all other files. If a publisher dies before that, the
next one starts to count anew.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

from services.gateway import status
from services.gateway.discovery_file import Published, Write
from services.gateway.envoy import names
from services.gateway.envoy.document import Document, item_name

LEFT: Final = ".left"
LINGER_SECONDS: Final = 1.0
"""Minimum. Each worker of Envoy adopts a new configuration at its next event."""


def keep(clusters: Document, published: Published) -> tuple[Document, list[Write]]:
    """The clusters to publish: `clusters`, and removed ones that routes may still name. And the note, if it changed."""
    folder, before = published.gateway_dir, published[names.CLUSTERS].document
    renewed = {item_name(line) for line in clusters.new_lines(before)}
    leaving = [line for line in before.new_lines(clusters) if item_name(line) not in renewed]
    old_note = note(folder)
    left, now = _left(old_note), time.time()
    since = {name: left.get(name, now) for name in (item_name(line).decode() for line in leaving)}
    gone = {name for name, start in since.items() if now - start > LINGER_SECONDS}
    if gone and status.follows(folder, (names.ROUTES, names.KEYS)):
        since = {name: start for name, start in since.items() if name not in gone}
        leaving = [line for line in leaving if item_name(line).decode() in since]
    kept = clusters.with_lines([*clusters.lines, *leaving]) if leaving else clusters
    new_note = names.dump(since)
    return kept, [(folder / LEFT, new_note)] if new_note != old_note else []


def note(gateway_dir: Path) -> bytes:
    """The times of removal, as the last publisher wrote them."""
    try:
        return (gateway_dir / LEFT).read_bytes()
    except FileNotFoundError:
        return names.dump({})


def _left(content: bytes) -> dict[str, float]:
    """Cluster -> time of its removal. Empty when the note cannot be read: then all were removed just now."""
    try:
        return {str(name): float(left) for name, left in json.loads(content).items()}
    except (ValueError, TypeError, AttributeError):
        return {}
