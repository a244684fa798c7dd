"""What is mounted where, as the kernel says it to this process. Reading it never waits for a server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    point: PurePosixPath
    kind: str
    """`nfs4`, `ext4`, ..."""
    source: str
    """For NFS `server:/export`."""
    root: str
    """What of the file system is mounted here: "/" is all of it."""
    address: str
    """Address of the server of an NFS mount; "" for others."""

    @property
    def is_nfs(self) -> bool:
        return self.kind in {"nfs", "nfs4"}


def mounts() -> list[Mount]:
    """In the order in which they were mounted: a later one hides what lies at the same point."""
    return parse(MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape").splitlines())


def parse(lines: Iterable[str]) -> list[Mount]:
    parsed_mounts = []
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, (kind, source, *more) = before.split(" "), after.split(" ")
        options = dict(part.partition("=")[::2] for part in (more[0] if more else "").split(","))
        parsed_mounts.append(
            Mount(
                PurePosixPath(_plain(fields[4])),
                kind,
                _plain(source),
                _plain(fields[3]),
                options.get("addr", ""),
            )
        )
    return parsed_mounts


def holding(path: PurePosixPath, among: list[Mount]) -> Mount | None:
    """The mount that `path`, which has no links in it, lies in."""
    best = None
    for mount in among:
        if path.is_relative_to(mount.point) and (best is None or len(mount.point.parts) >= len(best.point.parts)):
            best = mount
    return best


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
