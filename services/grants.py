"""What a credential's name says a key may call: `<key id>;infer;<grant>;...;`.

The gateway writes it and searches it (services/gateway/envoy/auth.py). The bridge searches the copy that it receives
with each request (services/bridge/catalogue.py).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

INFER: Final = "infer"
ALL: Final = "all"
# Before the value of a grant.
TEAM: Final = "team="
SERVICE: Final = "svc="


@functools.cache
def for_team(name: str) -> str:
    """Quoted, so that no team's name can contain a grant."""
    return TEAM + quote(name, safe="")


def for_service(uid: str) -> str:
    return SERVICE + uid


def marked(part: str) -> str:
    """The part as it stands in the name, where it is the end of no other part."""
    return f";{part};"


def opening(team: str, uid: str) -> Sequence[str]:
    """The grants that open a service, `marked`: any one of them is enough."""
    return [marked(grant) for grant in (ALL, for_team(team), for_service(uid))]
