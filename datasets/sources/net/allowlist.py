"""The entries of DATASET_ENDPOINTS, taken apart. No I/O."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from datasets.errors import SourceError
from datasets.sources.net.ip import Address, literal, never, never_in

_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_PORTED = re.compile(r"\[(?P<bracketed>[^]]+)\](:(?P<a>\d+))?|(?P<plain>[^:]*)(:(?P<b>\d+))?|(?P<bare>.*)")


class Endpoints:
    """Which hosts, domains and networks are listed, each for one port or for all (None)."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._hosts: set[tuple[str, int | None]] = set()
        self._domains: list[tuple[str, int | None]] = []
        self.networks: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, int | None]] = []
        for entry in entries:
            self._add(entry.strip())

    @property
    def has_ranges(self) -> bool:
        """Whether a name that is not listed may still turn out to be in a listed network of several addresses."""
        return any(network.num_addresses > 1 for network, _ in self.networks)

    def names(self, host: str, port: int) -> bool:
        """Whether this very host is listed."""
        return (host, None) in self._hosts or (host, port) in self._hosts

    def covers(self, host: str, port: int) -> bool:
        """Whether a `*.domain` covers it. `*.domain` is not the domain itself."""
        return any(host.endswith(end) and len(host) > len(end) and p in {None, port} for end, p in self._domains)

    def holds(self, address: Address, port: int) -> bool:
        """Whether a listed network, or a listed address, has it."""
        return any(p in {None, port} and address in network for network, p in self.networks)

    def _add(self, entry: str) -> None:
        match = _PORTED.fullmatch(entry)
        assert match is not None
        host = match["bracketed"] or match["plain"] or match["bare"] or ""
        given = match["a"] or match["b"]
        port = int(given) if given else None
        host = host.lower().rstrip(".")
        if port is not None and not 0 < port < 65536:
            raise _bad(entry, f"{port} is no port, which are 1 to 65535")
        if "/" in host or literal(host) is not None:
            try:
                self.networks.append((ipaddress.ip_network(literal(host) or host), port))
            except ValueError as error:
                raise _bad(entry, _why_no_network(host)) from error
        elif not _NAME.fullmatch(host) or len(host) > 253:
            raise _bad(entry, _why_no_name(host))
        elif host.startswith("*."):
            self._domains.append((host[1:], port))
        else:
            self._hosts.add((host, port))


def require_sound(entries: Iterable[str]) -> None:
    """Raises SourceError, naming the entry and the reason, for one that is malformed or could never be connected to."""
    for entry in entries:
        for network, _ in Endpoints([entry]).networks:
            if network.num_addresses == 1:
                address = network.network_address
                if str(address) not in entry.lower() and ":" not in str(address):
                    raise _bad(entry, f"it reads as the address {address}: write that")
                reason = never(address)
            else:
                reason = never_in(network)
            if reason:
                raise _bad(entry, f"nothing may connect to it, because {reason}")


def _why_no_network(host: str) -> str:
    if "://" in host:
        return "an entry has no scheme and no path: write the host, and its port if only that is meant"
    try:
        return f"it has bits of an address behind the mask: write {ipaddress.ip_network(host, strict=False)}"
    except ValueError:
        return "it is no network, and a host has no path"


def _why_no_name(host: str) -> str:
    if any(letter.isspace() for letter in host):
        return "it has a blank in it: separate entries by commas"
    if host == "*":
        return "it would be every server: name hosts, domains or networks"
    if "*" in host:
        return "an asterisk stands only in front, as in *.example.com"
    if ":" in host and "[" not in host:
        return "what follows the colon is no port"
    if not host.isascii():
        return "names with other letters than a to z are written in their ASCII form, xn--…"
    return "it is no host, *.domain, address or network"


def _bad(entry: str, reason: str) -> SourceError:
    return SourceError(
        f"DATASET_ENDPOINTS has the entry {entry!r}, which cannot be: {reason}.",
        hint="For example DATASET_ENDPOINTS=models.example.com,*.example.com:9000,10.1.0.0/16.",
    )
