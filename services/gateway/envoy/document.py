"""The discovery files as text: one long list each, with one item a line.

With thousands of services and keys, most of a new file is the old one. So an item that was rendered before is
remembered as the bytes it became, and two files are compared line by line, without reading JSON. JSON has no line
breaks of its own in these files: a line is an item.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec

from services.gateway.envoy import names
from services.gateway.envoy.names import Json

ITEMS: Final = "@items@"
"""Stands in a shell for the list."""
_VERSION: Final = "@version@"
_NAMED: Final = b'{"name":"'
_DIGEST: Final = re.compile(rb'"key":"[0-9a-f]{64}"\}$')
_DIGEST_BYTES: Final = 80
"""Not to look for it in all of a line: with the lines of thousands of services that takes longer than the rest here."""
REMEMBERED: Final = 1 << 15
"""Items per kind: more than there are clusters of 10,000 services."""
KEPT: Final = 12
"""Files: more than there are, before and after a change."""
P = ParamSpec("P")
Parts = tuple[bytes, list[bytes], bytes]
_parts: dict[bytes, Parts] = {}
"""Content of a file -> what `split` says of it."""


@dataclass(frozen=True)
class Item:
    """A piece of configuration, rendered."""

    content: bytes
    name: str


def remembered(make: Callable[..., Json]) -> Callable[..., Item]:
    """Equal arguments, which must be frozen, are rendered once in the life of this process."""

    @functools.lru_cache(maxsize=REMEMBERED)
    def made(*arguments: Any, **options: Any) -> Item:
        value = make(*arguments, **options)
        return Item(_line(value), str(value.get("name", "")))

    return functools.wraps(make)(made)


def unless_the_same(make: Callable[P, bytes]) -> Callable[P, bytes]:
    """Remembers the last call only, and compares its arguments: those are thousands, of which to take a hash is as much
    work as to compare them is little, because most of them are the same objects.
    """
    last: list[tuple[Any, bytes]] = []

    @functools.wraps(make)
    def made(*arguments: P.args, **options: P.kwargs) -> bytes:
        known = last[0] if last else None
        if known is None or known[0] != (arguments, options):
            known = (arguments, options), make(*arguments, **options)
            last[:] = [known]
        return known[1]

    return made


def discovery(items: Iterable[Json | Item], shell: Any = ITEMS) -> bytes:
    """A discovery response. `shell` is what stands around the items: by default the list of resources itself.

    Its version is the digest of its content.
    """
    resources = [ITEMS] if shell == ITEMS else [shell]
    head, _, tail = names.dump({"resources": resources, "version_info": _VERSION}).partition(f'"{ITEMS}"'.encode())
    return join(head, [item.content if isinstance(item, Item) else _line(item) for item in items], tail)


def join(head: bytes, lines: list[bytes], tail: bytes) -> bytes:
    """The file of these lines, whose version is that of its content."""
    body = b",\n".join(lines)
    start = unversioned(tail)
    digest = hashlib.sha256(head)
    for part in (b"\n", body, b"\n", start):  # megabytes, so not joined for this
        digest.update(part)
    version = digest.hexdigest()[:16]
    end = b"".join((start, b',"version_info":"', version.encode(), b'"}'))
    content = b"\n".join((head, body, end))
    _keep(content, (head, lines, end))
    return content


def unversioned(tail: bytes) -> bytes:
    return tail.partition(b',"version_info":')[0]


def split(content: bytes) -> Parts:
    """Head, lines and tail of a file that `join` made. Of any other file the head is all there is.

    The same few files are asked for again and again while one change is published. Do not change the list.
    """
    if (known := _parts.get(content)) is not None:
        return known
    head, _, rest = content.partition(b"\n")
    body, _, tail = rest.rpartition(b"\n")
    return _keep(content, (head, body.split(b",\n") if body else [], tail))


def apart(before: list[bytes], after: list[bytes]) -> tuple[int, int, int]:
    """How many lines in front are the same, and where the same ones behind begin in each of the two lists.

    Mostly one line of thousands has changed: to compare them in turn is quicker than to put them into sets.
    """
    least = min(len(before), len(after))
    front = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), least)
    ends = zip(reversed(before), reversed(after), strict=False)
    behind = min(next((at for at, (old, new) in enumerate(ends) if old != new), least), least - front)
    return front, len(before) - behind, len(after) - behind


def new_lines(before: list[bytes], after: list[bytes]) -> list[bytes]:
    """Those of `after` that are not in `before`."""
    front, old, new = apart(before, after)
    known = set(before[front:old])
    return [line for line in after[front:new] if line not in known]


@functools.lru_cache(maxsize=KEPT)
def published(path: Path) -> bytes:
    """What the file holds; nothing when it is not there. For use within `remembering`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


@contextmanager
def remembering() -> Iterator[None]:
    """Meanwhile each file is read and taken apart once, so nobody else may write it. It is some ten MB in memory when
    there are thousands of services, which are let go afterwards.
    """
    _forget()
    try:
        yield
    finally:
        _forget()


def _keep(content: bytes, parts: Parts) -> Parts:
    if len(_parts) >= KEPT:
        _parts.clear()
    _parts[content] = parts
    return parts


def _forget() -> None:
    _parts.clear()
    published.cache_clear()


def version(content: bytes) -> str:
    """Of a file that `join` made; "" of any other."""
    found = re.search(rb'"version_info":"([0-9a-f]{16})"\}$', content[-64:])
    return found[1].decode() if found else ""


def item_name(line: bytes) -> bytes:
    """What no two lines of a file may share: the name of a cluster or virtual host, otherwise the line itself."""
    return line[len(_NAMED) : line.index(b'"', len(_NAMED))] if line.startswith(_NAMED) else line


def subject(line: bytes) -> bytes:
    """What no two lines of a file may be about, as it stands in the text: the digest of a key, otherwise the start of
    the line with its name, otherwise the line itself.
    """
    found = _DIGEST.search(line[-_DIGEST_BYTES:])
    if found:
        return found[0]
    return b"\n" + (line[: line.index(b'"', len(_NAMED)) + 1] if line.startswith(_NAMED) else line)


def _line(value: Json) -> bytes:
    """With its name in front, where `item_name` finds it. Names hold no quotes: they are made of DNS labels."""
    name = value.get("name")
    if not isinstance(name, str) or len(value) == 1:
        return names.dump(value)
    rest = {key: each for key, each in value.items() if key != "name"}
    return b'{"name":' + names.dump(name) + b"," + names.dump(rest)[1:]
