"""What a web server says of a file before it is read: size, version, digest, and whether it gives parts of it."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime

from datasets.errors import SourceError
from datasets.sources.http import digest_headers
from datasets.sources.net.client import Answer, Web
from datasets.sources.net.errors import refusal
from datasets.sources.net.url import Url

RANGED_FROM = 32 << 20
"""Bytes from which it is worth a request to find out whether the server gives parts."""
_NO_HEAD = frozenset({400, 403, 405, 501})
"""What servers answer that do not know HEAD, or whose signatures are for GET only."""


@dataclass(frozen=True)
class Probed:
    size: int
    version: str
    """A strong ETag with its quotes, else Last-Modified, else ""."""
    ranged: bool
    """Proved: a part was asked for and came, with the same version."""
    check: str
    modified: float


def probe(web: Web, url: Url, name: str, credentials: dict[str, str], *, ranged_from: int = RANGED_FROM) -> Probed:
    """Raises SourceError, also for a server that does not say how long the file is."""
    answer = web.open(url, credentials=credentials, method="HEAD", accept=_NO_HEAD)
    answer.body.close()
    if answer.status in _NO_HEAD or answer.size is None:
        return _part(web, url, name, credentials, None)
    seen = Probed(
        answer.size,
        version_of(answer.headers),
        False,
        digest_headers.strongest(answer.headers),
        _modified(answer.headers),
    )
    if not seen.version or seen.size < ranged_from or answer.headers.get("Accept-Ranges") == "none":
        return seen
    return _part(web, url, name, credentials, seen)


def version_of(headers: Message) -> str:
    etag = str(headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(headers.get("Last-Modified", ""))


def _part(web: Web, url: Url, name: str, credentials: dict[str, str], head: Probed | None) -> Probed:
    """Asks for the first byte. Believes the part only if it says the same as `head` did."""
    answer = web.open(url, {"Range": "bytes=0-0"}, credentials=credentials, accept=frozenset({416}))
    with answer.body as body:
        if answer.status == 206:
            size = _total(answer)
            body.read(2)
        else:
            size = 0 if answer.status == 416 else answer.size  # an empty file has no first byte
    if answer.status == 416 and not str(answer.headers.get("Content-Range", "")).endswith("*/0"):
        raise refusal(answer.url, answer.status, answer.headers)
    version = version_of(answer.headers)
    if head is not None:
        same = answer.status == 206 and (size, version) == (head.size, head.version)
        return Probed(head.size, head.version, same, head.check, head.modified)
    if size is None:
        raise SourceError(
            f"{answer.url.authority} does not say how long {name} is.",
            hint="A list of the files with their sizes can say it instead.",
        )
    whole = answer.status == 200
    check = digest_headers.strongest(answer.headers, whole=whole)
    return Probed(size, version, answer.status == 206 and bool(version), check, _modified(answer.headers))


def _total(answer: Answer) -> int | None:
    total = str(answer.headers.get("Content-Range", "")).rpartition("/")[2]
    return int(total) if total.isdecimal() and total.isascii() else None


def _modified(headers: Message) -> float:
    try:
        return parsedate_to_datetime(str(headers.get("Last-Modified", ""))).timestamp()
    except (ValueError, TypeError):
        return 0.0
