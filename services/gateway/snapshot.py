"""What the console tells the gateway, as plain data: all that rendering to Envoy's terms starts from."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.listeners import Address

MIB = 1 << 20


@dataclass(frozen=True)
class Endpoint:
    """One replica. vLLM has nothing at `grpc`."""

    http: Address
    grpc: Address
    index: int = 0
    """Which replica of its service it is, wherever it listens: what sequences are bound to."""


@dataclass(frozen=True)
class GatewayService:
    name: str
    team: str
    public: bool
    """True: no API key is asked for."""
    ready: bool
    """The console keeps the reason why not: it changes often, and each change of this value changes the routes."""
    endpoints: tuple[Endpoint, ...] = ()
    revision: int = 0
    """The served revision. When it changes, caches of facts about the model are dropped."""
    framework: str = "triton"
    """triton or vllm: which doors the service has, and in which protocol a backend is spoken to."""
    task: str = ""
    """For a vLLM service: chat, completion or embedding. "" for Triton."""
    adapters: tuple[str, ...] = ()
    """LoRA modules of a vLLM service; callers name them `<service>:<adapter>`."""
    sequences: bool = False
    """Requests with the same sequence id go to the same replica, well or not: no other one knows the sequence."""
    classes: tuple[str, ...] = ()
    """Outputs that callers may ask the classes of. Of any other, Triton might end."""
    max_model_len: int | None = None
    """Tokens; of a vLLM service, where it is known."""
    created: int = 0
    """Unix seconds, for the catalogue."""
    max_payload_bytes: int | None = None
    timeout_seconds: int | None = None
    concurrency: int | None = None
    auth_header: str = ""
    auth_parameters: tuple[tuple[str, str], ...] = ()
    cors_origins: tuple[str, ...] = ()
    """Pages of these origins may call it from a browser; "*" is every page."""
    uid: str = ""
    """What a key's grant names: never given to another service, not even to a later one of the same name."""


@dataclass(frozen=True)
class GatewayKey:
    """A live key (not revoked, not expired). `digest` is the SHA-256 of the whole key, in hex."""

    id: str
    digest: str
    team: str
    """Every service of this team, unless `services` holds some; "*" is every service there is."""
    services: tuple[str, ...] = ()
    """Their `uid`."""
    can_infer: bool = True
    rate_limit_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Prompt and completion tokens together."""
    max_concurrent: int | None = None
    """Requests under way at once, over all services."""
    rate_bucket: str = ""
    """The id of the key whose bucket it takes from: of the first of those that were rotated into it, or of the one that
    made it and has a limit itself. "" for its own."""
    tokens_bucket: str = ""
    slots: tuple[tuple[str, int], ...] = ()
    """The limits of requests at once that it passes, each with the id of the key that it is of; () for its own."""

    @property
    def hops(self) -> tuple[str, ...]:
        """Names of the clusters that are those limits."""
        if self.max_concurrent is None or not self.can_infer:
            return ()
        return tuple(f"hop={key}:{most}" for key, most in self.slots or ((self.id, self.max_concurrent),))


@dataclass(frozen=True)
class Keys:
    """All that the file of keys is made from."""

    keys: tuple[GatewayKey, ...] = ()
    keyless: bool = False
    """Whether some service is public: only then is a caller without a key somebody."""


@dataclass(frozen=True)
class Limits:
    max_payload_bytes: int = 16 * MIB
    request_timeout_seconds: int = 300
    """For unary requests."""
    stream_idle_seconds: int = 300
    stream_seconds: int = 3600
    """A stream's longest life. Keys are checked when it begins, so a revoked key's streams end within this time."""
    domain: str = "localhost"
    """`<service>.<domain>` as Host or :authority names a service."""

    @property
    def body_seconds(self) -> int:
        """So long may the body of a unary request take to come in: a MiB a second, where it may be a large one."""
        return max(self.request_timeout_seconds, self.max_payload_bytes // MIB)


@dataclass(frozen=True)
class Snapshot:
    services: tuple[GatewayService, ...] = ()
    keys: tuple[GatewayKey, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def for_keys(self) -> Keys:
        return Keys(self.keys, any(service.public for service in self.services))
