"""What a URL must look like before anybody connects to it. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from datasets.errors import SourceError

PORTS: Final = {"http": 80, "https": 443}
MAX_LENGTH: Final = 8192
"""In characters. Presigned addresses reach 2,000 or so."""
_CONTROL = re.compile(r"[\x00-\x20\x7f\\]")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?|[0-9a-f:.]+")
_SAFE = "%/:=&?~+!$,;'@()*[]"


@dataclass(frozen=True)
class Url:
    """`host` in lower case, an IPv6 address without brackets. `target` is the path with the query, quoted."""

    scheme: str
    host: str
    port: int
    target: str

    @cached_property
    def origin(self) -> tuple[str, str, int]:
        """Credentials and connections are for one of these."""
        return self.scheme, self.host, self.port

    @cached_property
    def authority(self) -> str:
        """`host` or `host:port`, as in the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @cached_property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def __str__(self) -> str:
        """For messages: without the query, where signatures are."""
        return f"{self.scheme}://{self.authority}{self.path}"

    def whole(self) -> str:
        """With the query: never for a message."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def with_target(self, target: str) -> Url:
        """Another path at the same server. `target` is quoted already."""
        return Url(self.scheme, self.host, self.port, target)

    def joined(self, location: str) -> Url:
        """Where a redirect leads. Raises SourceError as `parse` does."""
        try:
            return parse(urljoin(self.whole(), location))
        except ValueError as error:
            raise SourceError(f"{self.authority} sends to an address that cannot be understood.") from error


def parse(text: str) -> Url:
    """Raises SourceError for anything but an http or https address without credentials in it."""
    if len(text) > MAX_LENGTH:
        raise SourceError("The address is too long.")
    if _CONTROL.search(text):
        raise SourceError("The address has a space, a backslash or a control character in it.", hint="A space is %20.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise SourceError("The address cannot be understood.", hint="For example https://example.com/m.") from error
    if parts.scheme not in PORTS:
        raise SourceError("The address must start with http:// or https://.")
    if "@" in parts.netloc:
        raise SourceError("The address has a user name or password in it.", hint="They have fields of their own.")
    host = (parts.hostname or "").lower()
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise SourceError(
            "The host of the address is not a name or an IP address.",
            hint="Names with other letters than a to z are written in their ASCII form, xn--….",
        )
    if port == 0:
        raise SourceError("There is no port 0.")
    target = quote(parts.path or "/", safe=_SAFE) + ("?" + quote(parts.query, safe=_SAFE) if parts.query else "")
    return Url(parts.scheme, host, port or PORTS[parts.scheme], target)
