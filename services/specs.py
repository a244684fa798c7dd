"""Plain values that policies, frameworks, engines and the gateway exchange. No Django.

`ServiceSpec` is one revision of a service as the REST API spells it; parsing and its messages are in
`services/parsing/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets.inspect.report import Difference, Executable

GIB = 1 << 30
ROLLING = "rolling"
RECREATE = "recreate"
STRATEGIES = (ROLLING, RECREATE)


@dataclass(frozen=True)
class Resources:
    """What one replica claims: CPU in cores, memory in GiB, whole GPUs of `gpu_type` ("" is any)."""

    cpu: float = 1.0
    memory_gib: float = 1.0
    gpu: int = 0
    gpu_type: str = ""

    def times(self, replicas: int) -> Resources:
        return Resources(self.cpu * replicas, self.memory_gib * replicas, self.gpu * replicas, self.gpu_type)


@dataclass(frozen=True)
class Rule:
    """One label rule. operator: In, NotIn, Exists, DoesNotExist, Gt, Lt (as in a Kubernetes node affinity)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreferredRule:
    weight: int
    """1 to 100."""
    rule: Rule


@dataclass(frozen=True)
class Affinity:
    required: tuple[Rule, ...] = ()
    preferred: tuple[PreferredRule, ...] = ()


@dataclass(frozen=True)
class ServiceLimits:
    """What the gateway lets through to one service; None is the gateway's own default."""

    max_payload_mib: int | None = None
    """Of one request; never more than the gateway's own."""
    timeout_seconds: int | None = None
    """Bound of a unary request. STREAM_MAX_SECONDS bounds streams."""
    concurrency: int | None = None
    """Requests under way at once, over all replicas."""
    stall_seconds: int | None = None
    """A replica that has requests and finishes nothing for so long is tested, and started again if it is stuck."""


@dataclass(frozen=True)
class ServiceSpec:
    """What a revision freezes. The number of replicas is not part of it: scaling makes no revision."""

    framework: str
    dataset: str
    model_path: str
    queue: str
    resources: Resources = field(default_factory=Resources)
    auth_policy: str = "api_key"
    """api_key or public."""
    auth_header: str = ""
    """A header of the service's own for the API key, beside X-API-Key and Authorization; lower case, "" is none."""
    auth_parameters: tuple[tuple[str, str], ...] = ()
    """Headers that each request must carry, with their values; names in lower case. A condition, not a secret."""
    cors_origins: tuple[str, ...] = ()
    """Pages of these origins may call it from a browser; "*" is every page."""
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    affinity: Affinity = field(default_factory=Affinity)
    framework_config: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The JSON of design section 7, without name and replicas."""
        return {
            "framework": self.framework,
            "dataset": self.dataset,
            "model_path": self.model_path,
            "queue": self.queue,
            "resources": asdict(self.resources),
            "auth": {
                "policy": self.auth_policy,
                "header": self.auth_header,
                "parameters": [{"name": name, "value": value} for name, value in self.auth_parameters],
            },
            "cors": {"allowed_origins": list(self.cors_origins)},
            "limits": asdict(self.limits),
            "affinity": {
                "required": [rule_to_json(rule) for rule in self.affinity.required],
                "preferred": [{"weight": p.weight, **rule_to_json(p.rule)} for p in self.affinity.preferred],
            },
            "framework_config": dict(self.framework_config),
            "env": dict(self.env),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ServiceSpec:
        """The inverse of `to_json`, for stored revisions. Input from people goes through `services.parsing`."""
        affinity = data.get("affinity", {})
        return cls(
            framework=data["framework"],
            dataset=data["dataset"],
            model_path=data["model_path"],
            queue=data["queue"],
            resources=Resources(**data["resources"]),
            auth_policy=data["auth"]["policy"],
            # Revisions of before these were there say nothing of them.
            auth_header=data["auth"].get("header", ""),
            auth_parameters=tuple((pair["name"], pair["value"]) for pair in data["auth"].get("parameters", ())),
            cors_origins=tuple(data.get("cors", {}).get("allowed_origins", ())),
            limits=ServiceLimits(**data.get("limits", {})),
            affinity=Affinity(
                required=tuple(rule_from_json(rule) for rule in affinity.get("required", ())),
                preferred=tuple(
                    PreferredRule(rule["weight"], rule_from_json(rule)) for rule in affinity.get("preferred", ())
                ),
            ),
            framework_config=data.get("framework_config", {}),
            env=data.get("env", {}),
        )


def rule_to_json(rule: Rule) -> dict[str, Any]:
    return {"key": rule.key, "operator": rule.operator, "values": list(rule.values)}


def rule_from_json(data: Mapping[str, Any]) -> Rule:
    return Rule(data["key"], data["operator"], tuple(data.get("values", ())))


@dataclass(frozen=True)
class NodeInfo:
    """A node as placement sees it: labels and what it has in all."""

    name: str
    labels: Mapping[str, str]
    cpu: float
    memory_gib: float
    gpus: Mapping[str, int]
    """GPU product -> count."""
    cordoned: bool = False
    """It keeps what it runs and takes nothing new."""
    absence: str = ""
    """Why nothing can be started on it, whatever it has; "" when it can."""


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one replica."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True)
class Tensor:
    """One input or output of a model. `shape` uses -1 for a free dimension; `datatype` is the V2 name (FP32, BYTES)."""

    name: str
    datatype: str
    shape: tuple[int, ...]


MAIN, STEP, CALLED = "main", "step", "called"
"""Roles: callers call it; a step of an ensemble; loaded because the code of another model may call it."""


@dataclass(frozen=True)
class ServedModel:
    """One of several models of a service, by the name of its folder."""

    name: str
    backend: str
    role: str


@dataclass(frozen=True)
class ModelDescription:
    """What a framework read from model files on disk, without starting anything.

    `config_text` is an existing config.pbtxt; `problems` stop a launch, each a sentence that says what to do.
    """

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    backend: str = ""
    max_batch_size: int = 0
    decoupled: bool = False
    sequences: bool = False
    """Requests of one sequence must meet the same replica, which remembers it."""
    classes: tuple[str, ...] = ()
    """Outputs that Triton can classify: numbers, and always some."""
    optional: tuple[str, ...] = ()
    """Inputs that a request may leave out."""
    completes: bool = False
    """Loading the model may change its inputs, outputs and whether it is decoupled: only a replica tells them."""
    config_text: str = ""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    task: str = ""
    """Of a language model: chat, completion or embedding."""
    max_model_len: int | None = None
    """Tokens of context that the model has, or that `config` leaves of them."""
    facts: tuple[tuple[str, str], ...] = ()
    """What else the files say, as (label, value), for people."""
    comparison: tuple[Difference, ...] = ()
    """config.pbtxt beside the model itself, for an ONNX model."""
    suggested: str = ""
    """A complete config.pbtxt for it."""
    dtype: str = ""
    """That a language model's configuration names, when a service can be asked for it by that name."""
    executable: tuple[Executable, ...] = ()
    """What would run as code when this is served so; and what only lies there, with `runs` False."""
    gpu_memory: str = ""
    """One sentence on what a language model needs of a GPU; "" when that cannot be told."""
    models: tuple[ServedModel, ...] = ()
    """Those of a Triton repository that are loaded, the one that callers call first; empty for a single model."""


@dataclass(frozen=True)
class LaunchContext:
    """All that a framework needs to say how one replica is started."""

    service: str
    """Also the model name that the backend answers to."""
    tree: Path
    """The preheated model files (read only)."""
    run_dir: Path
    """The replica's own working directory."""
    ports: Ports
    spec: ServiceSpec
    runtime: Path
    """The framework's environment, for example var/runtimes/triton."""


@dataclass(frozen=True)
class Launch:
    """How one replica is started: a pure value, rendered by a framework and executed by an engine.

    `files` (relative path -> content) and `links` (relative path -> absolute target) are made under `run_dir` first.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, Path] = field(default_factory=dict)
    settle_seconds: int = 5
    """What ends sooner than this has failed to start: it is tried again twice, and then given up."""


def process_name(service: str, revision: int, index: int) -> str:
    """What an engine calls a replica, and its log: unique on the node."""
    return f"svc-{service}-r{revision}-{index}"


def process_of(service: str, name: str) -> tuple[int, int] | None:
    """(revision, index) when `name` is that of a process of this service, now or ever; None for any other text."""
    found = re.fullmatch(rf"svc-{re.escape(service)}-r([0-9]{{1,9}})-([0-9]{{1,5}})", name)
    return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True)
class ReplicaSpec:
    """One process for an engine; `name` as `process_name` makes it."""

    name: str
    run_dir: Path
    launch: Launch
    start_seconds: int = 5
    """It counts as started once it has stayed up this long."""
    start_retries: int = 2
    stop_seconds: int = 20
