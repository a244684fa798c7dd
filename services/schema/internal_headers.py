"""Headers that the gateway writes for its own parts, the bridge and callers. No service may name one of them.

Whatever a client sends under the names of INTERNAL is removed before the first route is looked up. They are removed
again before a request leaves for a backend.
"""

from __future__ import annotations

from typing import Final

DIGEST: Final = "x-key-digest"
# The key's id and its grants, written by the api-key filter alone.
CALLER: Final = "x-caller"
# Which bucket of requests a minute a limited key takes from, and how much of it one request takes.
BUCKET: Final = "x-console-bucket"
COST: Final = "x-console-cost"
# The cluster whose limit of requests at once a request has to pass next (services/gateway/envoy/inside.py).
HOP: Final = "x-console-hop"
# Those after HOP. Not in INTERNAL, because those do not go on to the next listener.
LATER_HOPS: Final = ("x-console-hop-2", "x-console-hop-3")
# Chooses the virtual host: a service, or a refusal of services/gateway/envoy/names.py.
SERVICE: Final = "x-service"
# A name that no service can have, as the caller spelled it, for the message.
MODEL: Final = "x-model"
# Set last by the script that looked at the body: without it a service's policy lets no inference pass.
CHECKED: Final = "x-checked"
# Why a script refuses a body, in a sentence, and which field of the body that is about.
REASON: Final = "x-reason"
PARAM: Final = "x-param"
# Bytes of a body that was held whole and is no small one: what a service's own limit is compared with.
SIZE: Final = "x-size"
# On an OpenAI request that is no stream: only those have a time limit.
UNARY: Final = "x-unary"
# Set where a request has its tensors in typed fields: so shall the answer.
TYPED: Final = "x-typed"
# Which sequence a request belongs to, written by the scripts that read its message. It goes on to the replica: Envoy
# chooses that one by what is left of the headers then.
SEQUENCE: Final = "x-sequence"
# Seconds until a key's tokens are free again.
RETRY: Final = "x-retry"
INTERNAL: Final = (
    DIGEST,
    CALLER,
    BUCKET,
    COST,
    HOP,
    SERVICE,
    MODEL,
    CHECKED,
    REASON,
    PARAM,
    SIZE,
    UNARY,
    TYPED,
    RETRY,
    SEQUENCE,
)

# What the bridge is told, and nobody else may say.
CONSOLE_PREFIX: Final = "x-console-"
CONSOLE_SERVICE: Final = "x-console-service"
CONSOLE_CALLER: Final = "x-console-caller"

# These reach callers or backends.
REQUEST_ID: Final = "x-request-id"
PROMPT_TOKENS: Final = "x-prompt-tokens"
COMPLETION_TOKENS: Final = "x-completion-tokens"
