"""Requests per minute of each limited key, counted over all services of this gateway, shared by its workers.

The configuration never changes, whatever keys there are: a filter that is configured anew starts with full buckets, so
a key that is made, rotated or revoked would give every other key its minute back. There is one descriptor for whatever
bucket a credential names, and each bucket holds SIZE tokens, filled in a minute. A request of a key with a limit of 60
costs a sixtieth of that. A key that was rotated, and the keys that a key made, name the same bucket as that one.
"""

from __future__ import annotations

from typing import Final

from services.gateway.envoy.names import Json, typed
from services.schema import internal_headers

ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
SIZE: Final = 10**9
"""Also the most that Envoy lets one request cost."""
ROUNDING: Final = 1e-6
"""A request costs so much less than its share, so that the last one of a minute is not lost to rounding."""
BUCKETS: Final = 1 << 16
"""Beyond that, the one that was used longest ago is forgotten: more than there are keys with a limit."""


def cost(per_minute: int) -> int:
    """Tokens of one request. Up to a limit of 30,000 exact; of a million a thousandth more may pass."""
    return max(1, int(SIZE * (1 - ROUNDING)) // max(per_minute, 1))


def rate_limit() -> Json:
    """limits.lua has written bucket and cost into headers; a request without them is not limited."""
    by_bucket = {"header_name": internal_headers.BUCKET, "descriptor_key": "bucket"}
    return typed(
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="keys",
        filter_enabled=ALWAYS,
        filter_enforced=ALWAYS,
        always_consume_default_token_bucket=False,
        rate_limits=[
            {"actions": [{"request_headers": by_bucket}], "hits_addend": {"format": f"%REQ({internal_headers.COST})%"}}
        ],
        descriptors=[
            {
                "entries": [{"key": "bucket"}],
                "token_bucket": {"max_tokens": SIZE, "tokens_per_fill": SIZE, "fill_interval": "60s"},
            }
        ],
        max_dynamic_descriptors=BUCKETS,
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        rate_limited_as_resource_exhausted=True,
    )
