"""Discovery responses as text: one long list each, with one item a line.

With thousands of services and keys, most of a new response is the old one. So an item that was rendered before is
remembered as the bytes it became, and two responses are compared line by line, without reading JSON. JSON has no line
breaks of its own here: a line is an item.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

from services.gateway.envoy import names
from services.gateway.envoy.names import Json

# Stands in a shell for the list.
ITEMS: Final = "@items@"
_VERSION: Final = "@version@"
_NAMED: Final = b'{"name":"'
_DIGEST: Final = re.compile(rb'"key":"[0-9a-f]{64}"\}$')
# Where to search for it: to search whole lines of thousands of services takes longer than everything else here.
_DIGEST_BYTES: Final = 80
# Items per kind: more than there are clusters of 10,000 services.
REMEMBERED: Final = 1 << 15
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """A piece of configuration, rendered."""

    content: bytes
    name: str


@dataclass(frozen=True, eq=False)
class Document:
    """A file of the gateway, split once: the lines of a discovery response and what stands around them.

    `join` makes one from its lines and `read` from its bytes. Any other file has a head and no lines.
    """

    content: bytes
    version: str
    head: bytes
    lines: Sequence[bytes]
    # Without the version.
    tail: bytes

    @classmethod
    def join(cls, head: bytes, lines: Sequence[bytes], tail: bytes) -> Document:
        """Its version is the digest of its content."""
        body = b",\n".join(lines)
        digest = hashlib.sha256(head)
        for part in (b"\n", body, b"\n", tail):  # megabytes, so not joined for this
            digest.update(part)
        version = digest.hexdigest()[:16]
        end = b"".join((tail, b',"version_info":"', version.encode(), b'"}'))
        return cls(b"\n".join((head, body, end)), version, head, lines, tail)

    @classmethod
    def read(cls, content: bytes) -> Document:
        head, _, rest = content.partition(b"\n")
        body, _, end = rest.rpartition(b"\n")
        tail = end.partition(b',"version_info":')[0]
        return cls(content, version(content), head, body.split(b",\n") if body else [], tail)

    def with_lines(self, lines: Sequence[bytes]) -> Document:
        return Document.join(self.head, lines, self.tail)

    def new_lines(self, before: Document) -> list[bytes]:
        """Lines that `before` lacks."""
        return new_lines(before.lines, self.lines)

    def has_shell_of(self, other: Document) -> bool:
        """Whether the same stands around the lines."""
        return (self.head, self.tail) == (other.head, other.tail)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)


def remembered(make: Callable[..., Json]) -> Callable[..., Item]:
    """Equal arguments, which must be frozen, are rendered once in the life of this process."""

    @functools.lru_cache(maxsize=REMEMBERED)
    def render(*arguments: Any, **options: Any) -> Item:
        value = make(*arguments, **options)
        return Item(_line(value), str(value.get("name", "")))

    return functools.wraps(make)(render)


def unless_the_same(make: Callable[P, T]) -> Callable[P, T]:
    """A cache of one. Arguments hold thousands of items, mostly identical objects, so `==` is cheap and `hash()` is
    not.
    """
    last: list[tuple[Any, T]] = []

    @functools.wraps(make)
    def render(*arguments: P.args, **options: P.kwargs) -> T:
        entry = last[0] if last else None
        if entry is None or entry[0] != (arguments, options):
            entry = (arguments, options), make(*arguments, **options)
            last[:] = [entry]
        return entry[1]

    return render


def discovery(items: Iterable[Json | Item], shell: Any = ITEMS) -> Document:
    """A discovery response. `shell` is what stands around the items: by default the list of resources itself."""
    resources = [ITEMS] if shell == ITEMS else [shell]
    head, _, tail = names.dump({"resources": resources, "version_info": _VERSION}).partition(f'"{ITEMS}"'.encode())
    lines = [item.content if isinstance(item, Item) else _line(item) for item in items]
    return Document.join(head, lines, tail.partition(b',"version_info":')[0])


def apart(before: Sequence[bytes], after: Sequence[bytes]) -> tuple[int, int, int]:
    """How many lines in front are the same, and where the same ones behind begin in each of the two lists.

    Mostly one line of thousands has changed: to compare them in turn is quicker than to put them into sets.
    """
    least = min(len(before), len(after))
    front = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), least)
    ends = zip(reversed(before), reversed(after), strict=False)
    behind = min(next((at for at, (old, new) in enumerate(ends) if old != new), least), least - front)
    return front, len(before) - behind, len(after) - behind


def new_lines(before: Sequence[bytes], after: Sequence[bytes]) -> list[bytes]:
    """Those of `after` that are not in `before`."""
    front, old, new = apart(before, after)
    replaced = set(before[front:old])
    return [line for line in after[front:new] if line not in replaced]


def version(content: bytes) -> str:
    """The version of a discovery response, whose end is enough; "" of any other file."""
    match = re.search(rb'"version_info":"([0-9a-f]{16})"\}$', content[-64:])
    return match[1].decode() if match else ""


def item_name(line: bytes) -> bytes:
    """What no two lines of a file may share: the name of a cluster or virtual host, otherwise the line itself."""
    return line[len(_NAMED) : line.index(b'"', len(_NAMED))] if line.startswith(_NAMED) else line


def subject(line: bytes) -> bytes:
    """What no two lines of a file may be about, as it stands in the text: the digest of a key, otherwise the start of
    the line with its name, otherwise the line itself.
    """
    match = _DIGEST.search(line[-_DIGEST_BYTES:])
    if match:
        return match[0]
    return b"\n" + (line[: line.index(b'"', len(_NAMED)) + 1] if line.startswith(_NAMED) else line)


def _line(value: Json) -> bytes:
    """With its name in front, where `item_name` finds it. Names hold no quotes: they are made of DNS labels."""
    name = value.get("name")
    if not isinstance(name, str) or len(value) == 1:
        return names.dump(value)
    rest = {key: each for key, each in value.items() if key != "name"}
    return b'{"name":' + names.dump(name) + b"," + names.dump(rest)[1:]
