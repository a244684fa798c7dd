"""Requests per minute of each limited key, counted over all services of this gateway, shared by its workers.

A file of its own: a change of keys that leaves the limits alone must not refill anybody's bucket.
"""

from __future__ import annotations

from services.gateway.envoy import names
from services.gateway.envoy.auth import caller
from services.gateway.envoy.document import ITEMS, discovery, remembered
from services.gateway.envoy.names import Json, typed
from services.gateway.snapshot import GatewayKey, Snapshot

ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def rate_limits(snapshot: Snapshot) -> bytes:
    """The content of limits.json."""
    limited = [key for key in sorted(snapshot.keys, key=lambda k: k.id) if key.rate_limit_per_minute is not None]
    by_key = {"header_name": names.H_CALLER, "descriptor_key": "key"}
    shell = typed(
        "envoy.config.core.v3.TypedExtensionConfig",
        name=names.RATE_LIMIT,
        typed_config=typed(
            "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            stat_prefix="keys",
            filter_enabled=ALWAYS,
            filter_enforced=ALWAYS,
            always_consume_default_token_bucket=False,
            rate_limits=[{"actions": [{"request_headers": by_key}]}],
            descriptors=[ITEMS],
            enable_x_ratelimit_headers="DRAFT_VERSION_03",
            rate_limited_as_resource_exhausted=True,
        ),
    )
    return discovery([_descriptor(key, caller(key)) for key in limited], shell)


@remembered
def _descriptor(key: GatewayKey, value: str) -> Json:
    return {
        "entries": [{"key": "key", "value": value}],
        "token_bucket": _bucket(max(key.rate_limit_per_minute or 0, 1)),
    }


def _bucket(per_minute: int) -> Json:
    return {"max_tokens": per_minute, "tokens_per_fill": per_minute, "fill_interval": "60s"}
