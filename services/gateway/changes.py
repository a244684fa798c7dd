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
from services.gateway.envoy import document, names

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
    """Of the binary and of what it is started with."""
    try:
        found = envoy.stat()
    except OSError:
        return ""
    text = f"{envoy} {found.st_size} {found.st_mtime_ns} {hashlib.sha256(bootstrap).hexdigest()}"
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class _Mark:
    checker: str = ""
    shapes: tuple[str, ...] = ()


def remember(gateway_dir: Path, checker: str, checked: dict[str, bytes] | None) -> None:
    """What is published now is fine with `checker`, which has looked at `checked` for that."""
    if checked is None:
        return
    before = _last(gateway_dir)
    known = before.shapes if before.checker == checker else ()
    found = (_shape(line) for name in _CHECKED if name in checked for line in document.split(checked[name])[1])
    shapes = list(dict.fromkeys([*known, *found]))[-SHAPES:]
    (gateway_dir / MARK).write_text(json.dumps({"checker": checker, "shapes": shapes}), encoding="ascii")


def unchecked(files: dict[str, bytes], gateway_dir: Path, checker: str) -> dict[str, bytes] | None:
    """Files that Envoy refuses when it would refuse `files`, mostly much shorter. None when nothing in them is new."""
    mark = _last(gateway_dir)
    if not checker or mark.checker != checker:
        return files
    new: dict[str, list[bytes]] = {name: [] for name in _CHECKED}
    changed = [name for name in _CHECKED if files[name] != document.published(gateway_dir / name)]
    parts = {name: document.split(files[name]) for name in changed}
    shells_are_known = True
    for name, (head, lines, tail) in parts.items():
        known_head, known_lines, known_tail = document.split(document.published(gateway_dir / name))
        new[name] = document.new_lines(known_lines, lines)
        shells_are_known &= head == known_head and document.unversioned(tail) == document.unversioned(known_tail)
    for name in _CHECKED:
        if new[name] and _any_twice(new[name], files[name], parts[name][1]):
            return files  # two lines for one subject: Envoy has the words for it
    if shells_are_known and _all_known((line for lines in new.values() for line in lines), frozenset(mark.shapes)):
        return None
    parts |= {name: document.split(files[name]) for name in _CHECKED if name not in parts}
    targets = {found for line in new[names.ROUTES] for found in _CLUSTER.findall(line)}
    if targets:
        already = set(new[names.CLUSTERS])
        new[names.CLUSTERS] += [
            line for line in parts[names.CLUSTERS][1] if line not in already and document.item_name(line) in targets
        ]
    # A file must hold something: the first line stands for those that are not looked at.
    return {name: document.join(head, new[name] or lines[:1], tail) for name, (head, lines, tail) in parts.items()}


def services_with_new_lines(files: dict[str, bytes], gateway_dir: Path) -> list[str]:
    """Services whose virtual host or clusters are not published like this; empty if a line of no service is new."""
    names_of: set[str] = set()
    for file in (names.CLUSTERS, names.ROUTES):
        before = document.split(document.published(gateway_dir / file))[1]
        for line in document.new_lines(before, document.split(files[file])[1]):
            found = _OF_SERVICE.fullmatch(document.item_name(line))
            if found is None:
                return []
            names_of.add((found[1] or found[2]).decode())
    return sorted(names_of)


def _all_known(lines: Iterable[bytes], shapes: frozenset[str]) -> bool:
    return all(_shape(line) in shapes for line in lines)


def _shape(line: bytes) -> str:
    """Equal for lines in which Envoy finds nothing different but names that are DNS labels, uids, teams, and ports."""
    found = _OF_SERVICE.fullmatch(document.item_name(line))
    if found:
        name = re.escape(found[1] or found[2])
        # As a word of its own, and in the names of its virtual host and clusters.
        line = re.sub(rb"(?<![a-z0-9-])(service-)?" + name + rb"(?=-http\b|-grpc\b|(?![a-z0-9-]))", rb"\1*", line)
        line = _PORT.sub(b'"port_value":*', _UID.sub(b";svc=*;", _TEAM.sub(b";team=*;", line)))
    return hashlib.sha256(line).hexdigest()[:16]


def _any_twice(new: list[bytes], content: bytes, lines: list[bytes]) -> bool:
    """Whether something that new lines are about has another line in the file."""
    if len(new) <= _FEW:
        return any(content.count(document.subject(line)) > 1 for line in new)
    return len({document.subject(line) for line in lines}) < len(lines)


def _last(gateway_dir: Path) -> _Mark:
    """What `remember` wrote; nothing when that cannot be read, and then everything is checked."""
    try:
        told = json.loads((gateway_dir / MARK).read_text(encoding="ascii"))
        return _Mark(str(told["checker"]), tuple(map(str, told["shapes"])))
    except (OSError, ValueError, KeyError, TypeError):
        return _Mark()
