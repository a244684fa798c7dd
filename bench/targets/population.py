"""Services and keys in any number, as the gateway is told of them: the two that are measured, and those around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.targets.requests import CHAT_SERVICE
from console.first_run import example
from services.gateway import keys
from services.gateway.snapshot import Endpoint, GatewayKey, GatewayService, Limits, Snapshot

TEAM = "bench"
TEAMS = 50
LIMITS = Limits()


def triton_service(name: str, replica: Endpoint, team: str = TEAM) -> GatewayService:
    return GatewayService(name, team, public=False, ready=True, endpoints=(replica,), revision=1)


def vllm_service(name: str, replica: Endpoint, team: str = TEAM) -> GatewayService:
    return replace(triton_service(name, replica, team), framework="vllm", task="chat", max_model_len=2048)


@dataclass(frozen=True)
class Population:
    services: tuple[GatewayService, ...]
    keys: tuple[GatewayKey, ...]
    key: str
    """One that may call both measured services; it is in the middle of the others."""

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(services=self.services, keys=self.keys, limits=LIMITS)

    def with_service(self, service: GatewayService) -> Snapshot:
        return replace(self.snapshot, services=(*self.services, service))

    def with_key(self, key: GatewayKey) -> Snapshot:
        return replace(self.snapshot, keys=(*self.keys, key))


def measured(replica: Endpoint, chat: Endpoint | None = None) -> list[GatewayService]:
    """The digit at a Triton (or what stands for one), the chat at a vLLM, where there is one."""
    services = [triton_service(example.NAME, replica)]
    return [*services, vllm_service(CHAT_SERVICE, chat)] if chat else services


def populate(named: Sequence[GatewayService], *, services: int, keys_: int, replica: Endpoint) -> Population:
    """As many services as asked for, `named` among them; half of the others sort before them and half after.

    All others have `replica` as their only one: each is probed and routed to as if it were alone there.
    """
    others = [
        triton_service(f"{'a' if number % 2 else 'z'}-{number:05d}", replica, f"team-{number % TEAMS}")
        for number in range(services - len(named))
    ]
    mine = keys.generate()
    strangers = [keys.generate() for _ in range(keys_ - 1)]
    gateway_keys = [GatewayKey(key.id, key.digest, f"team-{number % TEAMS}") for number, key in enumerate(strangers)]
    gateway_keys.insert(len(gateway_keys) // 2, GatewayKey(mine.id, mine.digest, TEAM))
    return Population((*named, *others), tuple(gateway_keys), mine.key)
