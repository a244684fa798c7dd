"""What an IP address is for, in whatever spelling or wrapping it comes. No I/O."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NEVER: Final = tuple(
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("169.254.0.0/16", "its address is link-local, where clouds hand out credentials"),
        ("fe80::/10", "its address is link-local"),
        ("fec0::/10", "its address is of a kind that is no longer used"),
        ("fd00:ec2::/32", "its address is where a cloud hands out credentials"),
        ("fd20:ce::/32", "its address is where a cloud hands out credentials"),
        ("100.100.100.200/32", "its address is where a cloud hands out credentials"),
        ("192.0.0.192/32", "its address is where a cloud hands out credentials"),
        ("168.63.129.16/32", "its address is where a cloud hands out credentials"),
        ("0.0.0.0/8", "its address means no machine, or this one"),
        ("::/128", "its address means no machine, or this one"),
        ("224.0.0.0/4", "its address is for many machines at once"),
        ("ff00::/8", "its address is for many machines at once"),
        ("240.0.0.0/4", "its address is reserved"),
        # Wrappings whose inner address cannot be told for sure.
        ("64:ff9b:1::/48", "its address is a translated one"),
        ("2001::/32", "its address is a tunnelled one"),
    )
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_LOOPBACK: Final = ipaddress.ip_address("::1")
_ISATAP: Final = {0x0000_5EFE, 0x0200_5EFE}


def literal(host: str) -> Address | None:
    """The address that `host` spells, also in decimal, octal, hexadecimal or with parts left out; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    # inet_aton also takes what follows white space; a name cannot have any.
    if not host or not host[0].isdigit() or any(letter.isspace() for letter in host):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def forms(address: Address) -> list[Address]:
    """The address and, for IPv6, the IPv4 address wrapped in it (mapped, compatible, NAT64, 6to4, ISATAP), if any."""
    if not isinstance(address, ipaddress.IPv6Address):
        return [address]
    inner: ipaddress.IPv4Address | None = address.ipv4_mapped or address.sixtofour
    number = int(address)
    if inner is None and (
        address in _NAT64
        or (address in _COMPATIBLE and address != _LOOPBACK and number)
        or (number >> 32) & 0xFFFF_FFFF in _ISATAP
    ):
        inner = ipaddress.IPv4Address(number & 0xFFFF_FFFF)
    return [address] if inner is None else [address, inner]


def never(address: Address) -> str:
    """Why nothing may ever connect to it, whatever an administrator listed; "" if that is not so."""
    for form in forms(address):
        for network, reason in _NEVER:
            if form in network:
                return reason
    return ""


def never_in(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    """As `never`, for a network of which the same holds from end to end."""
    for forbidden, reason in _NEVER:
        if network.version == forbidden.version and network.subnet_of(forbidden):  # type: ignore[arg-type]
            return reason
    return ""


def is_public(address: Address) -> bool:
    """Whether it, and what is wrapped in it, is reachable on the Internet."""
    # Mapped addresses are not global by themselves: there the inner one tells.
    candidates = forms(address)
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    return all(form.is_global for form in (candidates[1:] if mapped else candidates))
