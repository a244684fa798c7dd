"""Which part of a new configuration Envoy has not checked yet.

To check all of it takes Envoy seconds when there are thousands of services. But what is published was checked, line
by line: each line is one cluster or one virtual host, and stands for itself. So the next check is of
the lines that are new, and of the clusters that they lead to. A line that differs from a checked one only in the name
and uid of its service, its team and its ports is not new. What only the whole can tell, that no two lines are for one
name, is looked at here. Another Envoy, or another bootstrap, checks everything again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services import grants
from services.gateway.discovery_file import Published
from services.gateway.envoy import names
from services.gateway.envoy.document import Document, item_name, subject
from services.gateway.render import Files

MARK: Final = ".checked"
"""By whom the published files were checked, and the shapes of the lines that were."""
SHAPES: Final = 1000
"""Kept of those: far more than services have ways to differ."""
_FEW: Final = 16
"""Lines, for which to search the text is quicker than to read all of its lines."""
_TEAM: Final = re.compile(grants.marked(grants.TEAM + r'[^;"]*').encode())
_UID: Final = re.compile(grants.marked(grants.for_service("[0-9]+")).encode())
_PORT: Final = re.compile(rb'"port_value":[0-9]+')
_OF_SERVICE: Final = re.compile(rb"service-([a-z0-9-]+)|([a-z0-9-]+)-(?:http|grpc)")
"""Names of lines: of a virtual host, or of a cluster."""
_CLUSTER: Final = re.compile(rb'"cluster":"([^"\\]+)"')
_CHECKED: Final = (names.CLUSTERS, names.ROUTES)


def identity(envoy: Path, bootstrap: bytes) -> str:
    """Identify the running Envoy by its binary and bootstrap; "" without a binary."""
    try:
        file_status = envoy.stat()
    except OSError:
        return ""
    text = f"{envoy} {file_status.st_size} {file_status.st_mtime_ns} {hashlib.sha256(bootstrap).hexdigest()}"
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class _Mark:
    checker: str = ""
    shapes: tuple[str, ...] = ()


def remember(gateway_dir: Path, checker: str, checked: Files | None) -> None:
    """What is published now is fine with `checker`, which has looked at `checked` for that."""
    if checked is None:
        return
    before = _last(gateway_dir)
    old_shapes = before.shapes if before.checker == checker else ()
    new_shapes = (_shape(line) for name in _CHECKED if name in checked for line in checked[name].lines)
    shapes = list(dict.fromkeys([*old_shapes, *new_shapes]))[-SHAPES:]
    (gateway_dir / MARK).write_text(json.dumps({"checker": checker, "shapes": shapes}), encoding="ascii")


def unchecked(files: Files, published: Published, checker: str) -> Files | None:
    """Files that Envoy refuses when it would refuse `files`, mostly much shorter. None when nothing in them is new."""
    mark = _last(published.gateway_dir)
    if not checker or mark.checker != checker:
        return files
    new: dict[str, list[bytes]] = {name: [] for name in _CHECKED}
    shells_are_known = True
    for name in _CHECKED:
        if not published[name].is_like(files[name]):
            before = published[name].document
            new[name] = files[name].new_lines(before)
            shells_are_known &= files[name].has_shell_of(before)
    if any(new[name] and _any_twice(new[name], files[name]) for name in _CHECKED):
        return files  # two lines for one subject: Envoy has the words for it
    if shells_are_known and _all_known((line for lines in new.values() for line in lines), frozenset(mark.shapes)):
        return None
    targets = {target for line in new[names.ROUTES] for target in _CLUSTER.findall(line)}
    if targets:
        already = set(new[names.CLUSTERS])
        new[names.CLUSTERS] += [
            line for line in files[names.CLUSTERS].lines if line not in already and item_name(line) in targets
        ]
    # A file must hold something: the first line stands for those that are not looked at.
    return {name: files[name].with_lines(new[name] or files[name].lines[:1]) for name in _CHECKED}


def services_with_new_lines(files: Files, published: Published) -> list[str]:
    """Services whose virtual host or clusters are not published like this; empty if a line of no service is new."""
    services: set[str] = set()
    for name in _CHECKED:
        for line in files[name].new_lines(published[name].document):
            match = _OF_SERVICE.fullmatch(item_name(line))
            if match is None:
                return []
            services.add((match[1] or match[2]).decode())
    return sorted(services)


def _all_known(lines: Iterable[bytes], shapes: frozenset[str]) -> bool:
    return all(_shape(line) in shapes for line in lines)


def _shape(line: bytes) -> str:
    """Equal for lines in which Envoy finds nothing different but names that are DNS labels, uids, teams, and ports."""
    match = _OF_SERVICE.fullmatch(item_name(line))
    if match:
        name = re.escape(match[1] or match[2])
        # As a word of its own, and in the names of its virtual host and clusters.
        line = re.sub(rb"(?<![a-z0-9-])(service-)?" + name + rb"(?=-http\b|-grpc\b|(?![a-z0-9-]))", rb"\1*", line)
        line = _PORT.sub(b'"port_value":*', _UID.sub(b";svc=*;", _TEAM.sub(b";team=*;", line)))
    return hashlib.sha256(line).hexdigest()[:16]


def _any_twice(new: list[bytes], document: Document) -> bool:
    """Whether something that new lines are about has another line in the file."""
    if len(new) <= _FEW:
        return any(document.content.count(subject(line)) > 1 for line in new)
    return len({subject(line) for line in document.lines}) < len(document.lines)


def _last(gateway_dir: Path) -> _Mark:
    """What `remember` wrote; nothing when that cannot be read, and then everything is checked."""
    try:
        mark = json.loads((gateway_dir / MARK).read_text(encoding="ascii"))
        return _Mark(str(mark["checker"]), tuple(map(str, mark["shapes"])))
    except (OSError, ValueError, KeyError, TypeError):
        return _Mark()
