"""What proxies say of a request: its address, and whether it came over HTTPS. Only those count that an administrator
named.

Any client may write any `X-Forwarded-For`; a proxy appends the address that it saw. So the list is read from its end:
the first address that is no named proxy is the caller's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from django.conf import settings
from django.http import HttpRequest, HttpResponse

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FORWARDED = "HTTP_X_FORWARDED_FOR"
PROTOCOL = "HTTP_X_FORWARDED_PROTO"


class Proxies:
    """Middleware: from here on REMOTE_ADDR is the caller's, and PROTOCOL is what a named proxy said, or missing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        forwarded = request.META.pop(FORWARDED, "")
        protocol = request.META.pop(PROTOCOL, "")
        peer, trusted = request.META.get("REMOTE_ADDR", ""), settings.TRUSTED_PROXIES
        if protocol and _is_in(peer, trusted):
            request.META[PROTOCOL] = protocol.rpartition(",")[2].strip()  # the last one is of the proxy that connected
        request.META["REMOTE_ADDR"] = caller(peer, forwarded, trusted)
        return self.get_response(request)


def caller(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """`peer` is who connected. What is no address ends the search: the proxy that wrote it is the last one known."""
    for hop in reversed(forwarded.split(",")):
        if not _is_in(peer, trusted) or _address(hop) is None:
            break
        peer = str(_address(hop))
    return peer


def _is_in(text: str, networks: Sequence[Network]) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IPv4 address that came in the form of IPv6 is the IPv4 address."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
