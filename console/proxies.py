"""The address that a request comes from, behind the proxies that an administrator named, and behind no other.

Whoever connects may write any `X-Forwarded-For`; a proxy appends whom it saw. So the list is read from its end: the
first address that is no named proxy is the caller's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from django.conf import settings
from django.http import HttpRequest, HttpResponse

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FORWARDED = "HTTP_X_FORWARDED_FOR"


class Proxies:
    """Middleware: REMOTE_ADDR is the caller's from here on, and nothing later reads what was forwarded."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        forwarded = request.META.pop(FORWARDED, "")
        request.META["REMOTE_ADDR"] = caller(request.META.get("REMOTE_ADDR", ""), forwarded, settings.TRUSTED_PROXIES)
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
