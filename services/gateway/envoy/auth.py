"""Who may call what: API key credentials, and the policy each virtual host checks.

A key reaches Envoy as its SHA-256 digest. The name given to its credential carries what it may do
(`<id>;infer;team=a;`), the api-key filter hands that name on in a header, and a service's policy is one look for
`;team=a;`, `;svc=7;` or `;all;`. So configuration grows with keys plus services, never with their product. A key names
a service by its uid: the next service of the same name is another one, and keys of the first do not open it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from services import grants
from services.gateway.envoy import names
from services.gateway.envoy.document import ITEMS, REMEMBERED, Document, Item, discovery, remembered, unless_the_same
from services.gateway.envoy.names import Json, typed
from services.gateway.envoy.ratelimit import cost
from services.gateway.snapshot import GatewayKey, GatewayService
from services.schema import internal_headers

_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"


@unless_the_same
def credentials(keys: tuple[GatewayKey, ...], *, keyless: bool) -> Document:
    """The content of keys.json: the api-key filter's configuration, apart so that keys change without the listener."""
    entries = [_credential(key) for key in sorted(keys, key=lambda key: key.id)]
    if keyless:
        entries.append(_entry(names.KEYLESS, f"{names.KEYLESS};"))
    if not entries:
        # The filter wants at least one credential. No digest looks like this, so nobody has it.
        entries.append(_entry("no keys yet", "nobody------;"))
    shell = typed(
        "envoy.config.core.v3.TypedExtensionConfig",
        name=names.API_KEY,
        typed_config=typed(
            "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
            credentials=[ITEMS],
            key_sources=[{"header": internal_headers.DIGEST}],
            forwarding={"header": internal_headers.CALLER, "hide_credentials": False},
        ),
    )
    return discovery(entries, shell)


@remembered
def _entry(digest: str, client: str) -> Json:
    return {"key": digest, "client": client}


@functools.lru_cache(REMEMBERED)
def _credential(key: GatewayKey) -> Item:
    return _entry(key.digest, caller(key))


def caller(key: GatewayKey) -> str:
    """`<id>;` and, when the key may infer, `infer;`, its grants and its limits, each ended by `;`."""
    if not key.can_infer:
        return f"{key.id};"
    parts = (grants.INFER, *_grants(key), *_rate(key), *_tokens(key), *key.hops)
    return f"{key.id};" + "".join(f"{part};" for part in parts)


def _grants(key: GatewayKey) -> Sequence[str]:
    if key.services:
        return sorted(map(grants.for_service, key.services))
    return [grants.ALL if key.team == "*" else grants.for_team(key.team)]


def _rate(key: GatewayKey) -> list[str]:
    """Whose bucket, what a request takes of it, and of which limit; which of the prepared Retry-After answers fits."""
    limit = key.rate_limit_per_minute
    if limit is None:
        return []
    step = min(step for step in names.RETRY_STEPS if step >= 60 / max(limit, 1))
    return [f"rate={key.rate_bucket or key.id}:{cost(limit)}:{limit}", f"retry={step}"]


def _tokens(key: GatewayKey) -> list[str]:
    """Counted in text.lua."""
    limit = key.tokens_per_minute
    return [f"tpm={key.tokens_bucket or key.id}:{limit}"] if limit is not None else []


def may_call(service: GatewayService) -> Json:
    """The policy of a service's virtual host: whose key, that its body was looked at, and its own parameters.

    The first is checked as soon as the service is known, the second at the end, where the scripts have run.
    """
    opening = grants.opening(service.team, service.uid)
    may: list[Json] = [{"any": True}] if service.public else [_has(grant) for grant in opening]
    checked = {"header": names.match(internal_headers.CHECKED, exact="1")}
    return {
        names.GRANT_EARLY: _allow(may),
        names.GRANT: _allow(may, only=checked),
        **({names.PARAMETERS: _parameters(service)} if service.auth_parameters else {}),
    }


def _parameters(service: GatewayService) -> Json:
    """Denies what lacks one of the headers that this service asks for. Apart from the grants, for its own words."""
    principals = [{"header": names.match(name, exact=value)} for name, value in sorted(service.auth_parameters)]
    lacking = {"permissions": [{"any": True}], "principals": [{"not_id": {"and_ids": {"ids": principals}}}]}
    return typed(_RBAC + "PerRoute", rbac={"rules": {"action": "DENY", "policies": {names.PARAMETERS: lacking}}})


def may_infer(*, keyless: bool = False) -> Json:
    """Any key that may infer at all: for where the service is unknown, or not known yet.

    `keyless` lets a caller without a key pass on to where the service is known.
    """
    extra = [{"header": names.IS_KEYLESS}] if keyless else []
    policy = _allow([_has(grants.marked(grants.INFER)), *extra])
    return {names.GRANT_EARLY: policy, names.GRANT: policy}


def nobody() -> Json:
    """The policy of the filters themselves: where no virtual host says otherwise, everything is refused."""
    return typed(_RBAC, rules={"action": "ALLOW", "policies": {}})


def _allow(principals: list[Json], only: Json | None = None) -> Json:
    """Whoever is one of `principals`, for requests that are as `only` says.

    As flat as can be: of what Envoy does when it takes thousands of services, to build their policies is nearly half.
    """
    policy = {"permissions": [only or {"any": True}], "principals": principals}
    return typed(_RBAC + "PerRoute", rbac={"rules": {"action": "ALLOW", "policies": {"granted": policy}}})


def _has(text: str) -> Json:
    return {"header": names.match(internal_headers.CALLER, contains=text)}
