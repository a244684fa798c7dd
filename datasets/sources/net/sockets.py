"""Which servers a source may connect to. Every socket of every kind that speaks over a network is opened here.

An administrator lists them in DATASET_ENDPOINTS: `host`, `*.domain`, an address or a network, each with `:port` if only
that port is meant. A host named exactly may have any address; one that `*.domain` covers, a public one; any other, one
in a listed network. Addresses that hand out a machine's own credentials are never connected to (see ip.py).

What is checked is the address that the socket then connects to: a name is resolved once, here, for every connection.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from contextlib import suppress

from datasets.errors import SERVER, SourceError
from datasets.sources.net.allowlist import Endpoints
from datasets.sources.net.ip import Address, forms, is_public, literal, never
from datasets.sources.net.url import Url, parse

_Row = tuple[socket.AddressFamily, socket.SocketKind, int, tuple[object, ...], Address]


class Network:
    """One object serves many threads. Raises SourceError for an entry of `endpoints` that is none of the above."""

    def __init__(self, endpoints: Iterable[str]) -> None:
        self._endpoints = Endpoints(endpoints)

    def require(self, url: str) -> Url:
        """The URL, taken apart. Raises SourceError for one that cannot be allowed. Resolves nothing."""
        parsed = parse(url)
        self.require_host(parsed.host, parsed.port)
        return parsed

    def require_host(self, host: str, port: int) -> None:
        """As `require`, for what is not written as a URL. A name may still turn out to have a refused address."""
        host, endpoints = host.lower().rstrip("."), self._endpoints
        if (address := literal(host)) is not None:
            self._require_address(host, port, address)
        elif not (endpoints.has_ranges or endpoints.names(host, port) or endpoints.covers(host, port)):
            raise _unlisted(host, port)

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connected socket with `timeout` (seconds) set, to the first address that may be used and answers.

        Raises SourceError: permanent when no address may be used or there is no such name.
        """
        name = host.lower().rstrip(".")
        self.require_host(name, port)
        until = time.monotonic() + timeout
        refused: SourceError | None = None
        failed: OSError | None = None
        for family, kind, protocol, sockaddr, address in _resolve(name, host, port):
            try:
                self._require_address(name, port, address)
            except SourceError as error:
                refused = error
                continue
            if (left := until - time.monotonic()) <= 0:
                failed = TimeoutError()
                break
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(left)
                opened.connect(sockaddr)
                opened.settimeout(timeout)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                opened.close()
                failed = error
                continue
            except BaseException:
                opened.close()
                raise
            return opened
        if failed is not None:
            reason = "it did not answer in time" if isinstance(failed, TimeoutError) else failed.strerror or "no route"
            raise SourceError(
                f"No connection to {name}:{port}: {reason.lower()}.",
                permanent=False,
                hint="Is the server up, and is the port right?",
                option=SERVER,
            ) from failed
        raise refused or SourceError(f"{name} has no address.", permanent=False, option=SERVER)

    def _require_address(self, name: str, port: int, address: Address) -> None:
        if reason := never(address):
            raise SourceError(f"{name} is not connected to: {reason}.", option=SERVER, refused="address")
        if self._endpoints.names(name, port) or any(self._endpoints.holds(form, port) for form in forms(address)):
            return
        if not self._endpoints.covers(name, port):
            raise _unlisted(name, port)
        if not is_public(address):
            raise SourceError(
                f"{name} is not connected to: it has an address of a private network.",
                hint=f"An administrator can add {name}:{port}, or its network, to DATASET_ENDPOINTS.",
                option=SERVER,
                refused="address",
            )


def _resolve(name: str, host: str, port: int) -> list[_Row]:
    """What getaddrinfo says, each with the address to check. `host` may end in a dot, for the resolver."""
    # An address in an odd spelling is passed on in its usual one, so that what was checked is what is used.
    lookup_name = str(address) if (address := literal(name)) is not None else host
    try:
        rows = socket.getaddrinfo(lookup_name, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        for_now = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        raise SourceError(
            f"There is no address for the name {name}{' right now' if for_now else ''}.",
            permanent=not for_now,
            hint="Check the spelling, and that this machine can resolve it.",
            option=SERVER,
        ) from error
    results: list[_Row] = []
    for family, kind, protocol, _, sockaddr in rows:
        with suppress(ValueError):
            if (seen := literal(str(sockaddr[0]).partition("%")[0])) is not None:
                results.append((family, kind, protocol, tuple(sockaddr), seen))
    return results


def _unlisted(name: str, port: int) -> SourceError:
    return SourceError(
        f"{name}:{port} is not a server that datasets may be read from.",
        hint=f"An administrator can add {name} or {name}:{port} to DATASET_ENDPOINTS.",
        option=SERVER,
    )
