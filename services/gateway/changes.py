"""Which part of a new configuration Envoy has not checked yet.

To check all of it takes Envoy seconds when there are thousands of services. But what is published was checked, line
by line: each line is one cluster, one virtual host, one key, one limit, and stands for itself. So the next check is of
the lines that are new, and of the clusters that they lead to. What only the whole can tell, that no two lines are for
one name, is looked at here. Another Envoy, or another bootstrap, checks everything again.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from services.gateway.envoy import document, names

MARK: Final = ".checked"
"""By whom the published files were checked."""
_CREDENTIAL: Final = re.compile(rb'\{"client":"[A-Za-z0-9;=._~%-]+","key":"[0-9a-f]{64}"\}')
"""A key as all keys are: two texts, of which Envoy asks only that no two digests are the same."""
_DIGEST: Final = re.compile(rb'"key":"[0-9a-f]{64}"\}$')
_CLUSTER: Final = re.compile(rb'"cluster":"([^"\\]+)"')
_CHECKED: Final = (names.CLUSTERS, names.KEYS, names.RATE_LIMITS, names.ROUTES)


def identity(envoy: Path, bootstrap: bytes) -> str:
    """Of the binary and of what it is started with."""
    try:
        found = envoy.stat()
    except OSError:
        return ""
    text = f"{envoy} {found.st_size} {found.st_mtime_ns} {hashlib.sha256(bootstrap).hexdigest()}"
    return hashlib.sha256(text.encode()).hexdigest()


def remember(gateway_dir: Path, checker: str) -> None:
    """What is published now was checked by `checker`."""
    path = gateway_dir / MARK
    if _last(path) != checker:
        path.write_text(checker, encoding="ascii")


def unchecked(files: dict[str, bytes], gateway_dir: Path, checker: str) -> dict[str, bytes] | None:
    """Files that Envoy refuses when it would refuse `files`, mostly much shorter. None when nothing in them is new."""
    if not checker or _last(gateway_dir / MARK) != checker:
        return files
    new: dict[str, list[bytes]] = {name: [] for name in _CHECKED}
    changed = [name for name in _CHECKED if files[name] != _content(gateway_dir / name)]
    parts = {name: document.split(files[name]) for name in changed}
    shells_are_known = True
    for name, (head, lines, tail) in parts.items():
        known_head, known_lines, known_tail = document.split(_content(gateway_dir / name))
        checked = set(known_lines)
        new[name] = [line for line in lines if line not in checked]
        shells_are_known &= head == known_head and document.unversioned(tail) == document.unversioned(known_tail)
    for name in _CHECKED:
        if new[name] and len({_subject(line) for line in parts[name][1]}) < len(parts[name][1]):
            return files  # two lines for one subject: Envoy has the words for it
    if shells_are_known and all(_CREDENTIAL.fullmatch(line) for lines in new.values() for line in lines):
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


def _subject(line: bytes) -> bytes:
    """What a line is about: the digest of a key, the name of anything else."""
    found = _DIGEST.search(line)
    return found[0] if found else document.item_name(line)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _last(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
