"""Pages of a bucket's listing, for half of the work that the official client (botocore) has with them.

That client builds each row by its description of the API, and reads the text twice; here rows are taken from the XML as
they are. Their names and values are the ones that it gives: the tests hold one against the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree

from datasets.errors import SERVER, SourceError
from datasets.sources.s3.contents import Contents

_ROOT: Final = "ListBucketResult"
_NEXT: Final = re.compile(rb"<NextContinuationToken>([!-%'-;=-~]+)</NextContinuationToken>")


class Pages:
    """Serves many threads. Every failure is a SourceError."""

    def __init__(self, contents: Contents, server: str) -> None:
        self._contents, self._server = contents, server

    def page(self, prefix: str, *, delimiter: str = "", after: str = "", limit: int = 1000) -> Mapping[str, Any]:
        """One page of ListObjectsV2, as the official client returns it. `after` is a continuation token."""
        return self.read(self.text(prefix, delimiter=delimiter, after=after, limit=limit))

    def text(self, prefix: str, *, delimiter: str = "", after: str = "", limit: int = 1000) -> bytes:
        """The same as the server sends it, for `read`."""
        parameters = {
            "continuation-token": after,
            "delimiter": delimiter,
            "encoding-type": "url",
            "list-type": "2",
            "max-keys": str(limit),
            "prefix": prefix,
        }  # fmt: skip - in the order in which they are signed
        query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in parameters.items() if value)
        return self._contents.query(query)

    def read(self, text: bytes) -> Mapping[str, Any]:
        try:
            return read_page(text)
        except (ElementTree.ParseError, ValueError) as error:
            raise SourceError(
                f"{self._server} does not answer as an S3 server does.",
                hint="Check the endpoint and its port.",
                option=SERVER,
            ) from error


def likely_next(text: bytes) -> str:
    """The token of the page after this one, without reading all of it; "" when it is not as easy as that."""
    match = _NEXT.search(text)
    return match[1].decode("ascii") if match else ""


def read_page(text: bytes) -> dict[str, Any]:
    """Raises ParseError or ValueError for what is no page of a listing."""
    root = ElementTree.fromstring(text)  # noqa: S314 - expat limits what entities grow to
    space, _, name = root.tag.rpartition("}")
    space = f"{space}}}" if space else ""
    if name != _ROOT:
        raise ValueError(f"{name} is not {_ROOT}")
    encoded, start = root.findtext(f"{space}EncodingType") == "url", len(space)
    page: dict[str, Any] = {
        "IsTruncated": root.findtext(f"{space}IsTruncated", "").strip() == "true",
        "NextContinuationToken": root.findtext(f"{space}NextContinuationToken", ""),
    }
    for rows, key in (("Contents", "Key"), ("CommonPrefixes", "Prefix")):
        items: list[dict[str, Any]] = [
            {field.tag[start:]: field.text or "" for field in row} for row in root.iterfind(f"{space}{rows}")
        ]
        page[rows] = items
        for row in items:
            if encoded:
                row[key] = unquote_plus(row[key])
            if "Size" in row:
                row["Size"] = int(row["Size"])
    return page
