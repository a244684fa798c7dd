"""Where something that listens can be reached from this machine, and how that is written in an address."""

from __future__ import annotations

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not bound


def reachable(bind: str) -> str:
    """The host to ask for what listens on `bind`: loopback where that is every address."""
    return LOOPBACK.get(bind, bind)


def authority(host: str, port: int) -> str:
    """`host:port` as it stands in a URL: an IPv6 address goes into brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
