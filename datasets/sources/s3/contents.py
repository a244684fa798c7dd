"""The bytes of objects, and pages of listings: one signed GET each, over pooled connections. What has to be fast."""

from __future__ import annotations

from dataclasses import dataclass
from io import RawIOBase

from datasets.errors import SourceChanged, SourceError
from datasets.sources.base import beginning
from datasets.sources.net.client import Answer, PendingRequest, Web
from datasets.sources.net.url import Url
from datasets.sources.s3.checksums import Verified, said_of
from datasets.sources.s3.errors import Refusal, refused
from datasets.sources.s3.location import Location
from datasets.sources.s3.signing import Signer, quoted, versioned

MAX_ANSWER = 16 << 20
"""Bytes of an answer that is not a content. A page of 1,000 keys of the greatest length has 4 MiB."""
_ERROR_BYTES = 64 << 10
"""Bytes of an error's text that are read."""


@dataclass(frozen=True)
class Pinned:
    """An object as it was planned. `name` is for messages; `etag` with its quotes; `size` in bytes."""

    key: str
    name: str
    size: int
    etag: str
    version_id: str = ""


class Contents:
    """Serves many threads. `base` is the bucket's address, its target ending in `/`."""

    def __init__(self, location: Location, web: Web, base: Url) -> None:
        self._location, self._web, self._base = location, web, base
        self._signer = Signer(location.access_key, location.secret_key, location.session_token, location.region)

    def open(self, pinned: Pinned, offset: int, count: int, *, verify: bool) -> RawIOBase:
        """`count` bytes from `offset` on. With `verify`, all of an object is held against what the server says of it.

        Raises SourceChanged, here or at the end, when it is not what was planned.
        """
        return self.begin(pinned, offset, count, verify=verify).body()

    def begin(self, pinned: Pinned, offset: int, count: int, *, verify: bool) -> PendingPart:
        """As `open`, but does not wait for the answer."""
        part = offset > 0 or count < pinned.size
        headers = {"If-Match": pinned.etag}
        if part:
            headers["Range"] = f"bytes={offset}-{offset + count - 1}"
        elif verify:
            headers["x-amz-checksum-mode"] = "ENABLED"
        request = self._ask(versioned(self._target(pinned.key), pinned.version_id), headers)
        return PendingPart(self._location, request, pinned, offset, count, part, verify)

    def head(self, key: str, name: str, limit: int) -> bytes:
        """The first `limit` bytes of whatever the object is now."""
        answer = self._get(self._target(key), {"Range": f"bytes=0-{limit - 1}"} if limit else {})
        if answer.status == 416:  # there is no first byte
            _error_text(answer)
            return b""
        if answer.status not in {200, 206}:
            raise self._refused(answer, name)
        return _beginning(answer, limit)

    def query(self, query: str) -> bytes:
        """The answer to a question about the bucket itself; `query` quoted and in the order of its names."""
        answer = self._get(f"{self._base.target.rstrip('/') or '/'}?{query}", {})
        if answer.status != 200:
            raise self._refused(answer, "")
        content = _beginning(answer, MAX_ANSWER + 1)
        if len(content) > MAX_ANSWER:
            raise SourceError(f"{self._location.server} answers with more than any listing has.")
        return content

    def _target(self, key: str) -> str:
        return self._base.target + quoted(key)

    def _get(self, target: str, headers: dict[str, str]) -> Answer:
        return self._ask(target, headers).answer()

    def _ask(self, target: str, headers: dict[str, str]) -> PendingRequest:
        url = self._base.with_target(target)
        return self._web.begin(url, self._signer.sign(self._base.authority, target, headers))

    def _refused(self, answer: Answer, name: str) -> SourceError:
        return _refused(self._location, answer, name)


@dataclass(frozen=True)
class PendingPart:
    """Bytes of an object that were asked for: `body` waits for them, `close` gives them up."""

    location: Location
    request: PendingRequest
    pinned: Pinned
    offset: int
    count: int
    part: bool
    verify: bool

    def body(self) -> RawIOBase:
        pinned, answer = self.pinned, self.request.answer()
        if answer.status in {404, 412, 416}:
            _error_text(answer)
            raise SourceChanged(pinned.name)
        if answer.status != (206 if self.part else 200):
            raise _refused(self.location, answer, pinned.name)
        headers = _headers(answer)
        last = self.offset + self.count - 1
        if (
            (self.part and headers.get("content-range") != f"bytes {self.offset}-{last}/{pinned.size}")
            or headers.get("etag", pinned.etag).strip('"') != pinned.etag.strip('"')
            or headers.get("content-length", str(self.count)) != str(self.count)
        ):
            answer.body.close()
            raise SourceChanged(pinned.name)
        answer.body.must_be(self.count, pinned.name)
        check = said_of(headers) if self.verify and not self.part else ""
        return Verified(answer.body, pinned.name, check, self.count) if check else answer.body

    def close(self) -> None:
        self.request.close()


def _refused(location: Location, answer: Answer, name: str) -> SourceError:
    return refused(Refusal.read(answer.status, _headers(answer), _error_text(answer)), location, name)


def _headers(answer: Answer) -> dict[str, str]:
    """Names in lower case. Raw: going through the policies of e-mail costs more than signing does."""
    return {name.lower(): value for name, value in answer.headers.raw_items()}


def _error_text(answer: Answer) -> bytes:
    """The text of an error, read to its end if it is short, so that the connection can be used again."""
    return _beginning(answer, _ERROR_BYTES)


def _beginning(answer: Answer, limit: int) -> bytes:
    with answer.body as body:
        return beginning(body, limit)
