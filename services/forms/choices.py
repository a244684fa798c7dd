"""What the form offers to choose from, for one person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from console.accounts import teams
from console.accounts.principal import Principal
from console.models import Team
from datasets.models import Dataset
from services import wiring
from services.control.queues.claims import used_by_queue
from services.forms import triton, vllm
from services.frameworks import registry
from services.frameworks.triton.datatypes import V2
from services.models import Node, Queue
from services.policies.amounts import Amount, free_gpus
from services.schema.labels import OPERATORS

Options = list[tuple[str, str]]
POLICIES: Options = [
    ("api_key", "An API key is needed"),
    ("public", "Public: anyone who can reach the gateway may call it"),
]
"""Those of services.specs.POLICIES, in words."""


@dataclass(frozen=True)
class FrameworkChoice:
    name: str
    label: str
    reason: str
    """Why it cannot be chosen; "" when it can."""


@dataclass(frozen=True)
class Choices:
    teams: Options
    frameworks: list[FrameworkChoice]
    queues: Options
    datasets: Options
    gpu_types: list[str]
    labels: list[str]
    """Keys of the labels that nodes have now; others may be typed."""
    operators: Options = field(default_factory=lambda: [(name, name) for name in OPERATORS])
    datatypes: Options = field(default_factory=lambda: [(name, name) for name in V2])
    batching: Options = field(default_factory=lambda: triton.BATCHING_OPTIONS)
    tasks: Options = field(default_factory=lambda: vllm.TASKS)
    dtypes: Options = field(default_factory=lambda: vllm.DTYPES)
    ranks: Options = field(default_factory=lambda: vllm.RANKS)
    policies: Options = field(default_factory=lambda: POLICIES)
    largest_mib: int = 0
    """Largest request to the gateway, in MiB."""
    is_admin: bool = False


def choices(actor: Principal) -> Choices:
    nodes = list(Node.objects.all())
    queues, uses = list(Queue.objects.all()), used_by_queue()
    kinds = {kind for counts in (*(n.gpus for n in nodes), *(q.gpus for q in queues)) for kind in counts if kind}
    return Choices(
        teams=[(team.name, team.name) for team in teams_of(actor)],
        frameworks=[_framework(name) for name in registry.all_names()],
        queues=[(queue.name, f"{queue.name}: {free_in(queue, uses.get(queue.name, Amount()))}") for queue in queues],
        datasets=[("", "Choose a dataset"), *datasets_of(actor)],
        gpu_types=sorted(kinds),
        largest_mib=settings.MAX_PAYLOAD_BYTES >> 20,
        is_admin=actor.is_admin,
        labels=sorted({key for node in nodes for key in node.info().labels}),
    )


def teams_of(actor: Principal) -> list[Team]:
    """Teams in which the actor may create services."""
    return list(teams.editable_by(actor))


def datasets_of(actor: Principal) -> Options:
    """With the team's name where there is more than one team to tell apart."""
    rows: list[Any] = list(Dataset.objects.visible_to(actor).select_related("team"))
    several = len({row.team_id for row in rows}) > 1
    return [(row.name, f"{row.name} ({row.team.name})" if several else row.name) for row in rows]


def _framework(name: str) -> FrameworkChoice:
    framework = wiring.framework(name)
    return FrameworkChoice(name, framework.label, framework.missing(wiring.runtime(name)))


def free_in(queue: Queue, used: Amount) -> str:
    """`3.5 of 8 CPU, 12 of 16 GiB, 1 of 2 GPU NVIDIA-H200 free`."""
    quota = queue.quota
    parts = [
        f"{max(0.0, quota.cpu - used.cpu):g} of {quota.cpu:g} CPU",
        f"{max(0.0, quota.memory_gib - used.memory_gib):.4g} of {quota.memory_gib:g} GiB",
    ]
    for kind, count in sorted(quota.gpus.items()):
        parts.append(f"{max(0, free_gpus(kind, quota.gpus, used.gpus))} of {count} GPU {kind}".strip())
    return f"{', '.join(parts)} free"
