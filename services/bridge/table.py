"""Which services there are, as the publisher wrote it, and the watch over that file.

A bad file keeps the last good one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.errors import not_ready

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Service:
    """One entry of the table; services/gateway/bridge_table.py writes it."""

    name: str
    uid: str
    """What the grant of a key names it by."""
    team: str
    public: bool
    ready: bool
    revision: int
    framework: str
    """triton or vllm."""
    task: str
    """For a vLLM service: chat, completion or embedding."""
    adapters: tuple[str, ...]
    max_model_len: int | None
    created: int
    """Unix seconds."""

    @property
    def not_ready(self) -> str:
        return not_ready(self.name)


@dataclass(frozen=True)
class Table:
    version: str = ""
    services: Mapping[str, Service] = field(default_factory=dict)


def parse(content: bytes) -> Table:
    """Raises ValueError with what is wrong. Fields that are not known here are passed over."""
    try:
        data = json.loads(content)
        return Table(str(data["version"]), {name: _service(name, row) for name, row in data["services"].items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks, or misspells, {error}") from None


def _service(name: str, row: Mapping[str, Any]) -> Service:
    longest = row.get("max_model_len")
    return Service(
        name=name,
        uid=str(row["uid"]),
        team=str(row["team"]),
        public=bool(row["public"]),
        ready=bool(row["ready"]),
        revision=int(row["revision"]),
        framework=str(row["framework"]),
        task=str(row["task"]),
        adapters=tuple(str(adapter) for adapter in row["adapters"]),
        max_model_len=None if longest is None else int(longest),
        created=int(row["created"]),
    )


class TableFile:
    """The newest good table. Files are replaced by rename, so another inode, time or size is another table."""

    def __init__(self, path: Path) -> None:
        self.table = Table()
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._complained = ""

    def find(self, name: str) -> Service | None:
        """Looks at the file at once for a name that is new: the gateway may have read it a moment earlier."""
        service = self.table.services.get(name)
        if service is None:
            self.refresh()
            service = self.table.services.get(name)
        return service

    def refresh(self) -> bool:
        """Reads the file when it changed, and says whether. Logs once what is wrong with it."""
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return False
            self.table = parse(self._path.read_bytes())
            self._seen, self._complained = seen, ""
        except (OSError, ValueError) as error:
            if str(error) != self._complained:
                self._complained = str(error)
                log.warning("%s cannot be used, the last good table stays: %s", self._path, error)
            return False
        return True

    async def run(self, changed: Callable[[Table], None]) -> None:
        """For ever: looks, and hands on a table that changed."""
        while True:
            if self.refresh():
                changed(self.table)
            await asyncio.sleep(LOOK_SECONDS)
