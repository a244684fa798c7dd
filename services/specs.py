"""Plain values that policies, frameworks, engines and the gateway exchange. No Django.

`ServiceSpec` is one revision of a service. It is the one description of its fields: parsing, stored JSON, the OpenAPI
document and the form follow from it. The rules and their sentences are in `services/schema/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

from pydantic import AfterValidator, ValidationInfo

from datasets.inspect.report import Difference, Executable
from services.hardware import Device, is_instance
from services.listeners import WORKING_DIRECTORY, Listeners
from services.schema import headers, labels, origins, stored
from services.schema.headers import HeaderName, HeaderValue
from services.schema.kinds import Folder, Free, Number, OneOf, Text, Texts, Whole, about, refuse
from services.schema.labels import OPERATORS, Label
from services.schema.origins import MAX_ORIGINS, Origin
from services.schema.structure import Nested, Rows, Variables

GIB = 1 << 30
ROLLING = "rolling"
RECREATE = "recreate"
STRATEGIES = (ROLLING, RECREATE)
POLICIES = ("api_key", "public")
# Upper bound for any gateway. The limit of this one is checked where its settings are known.
LARGEST_PAYLOAD_MIB = 1024


class ReadBy(Enum):
    """Who reads a field of a service. One without this mark is read by its processes, which start anew with it."""

    GATEWAY = "gateway"
    PLACEMENT = "placement"
    CONSOLE = "console"


def _type_needs_gpu(kind: str, info: ValidationInfo) -> str:
    if kind and not info.data.get("gpu", 1):
        refuse("Set gpu to at least 1 as well, or leave the type empty.")
    if is_instance(kind) and info.data.get("gpu", 1) > 1:
        refuse("A process can use one MIG instance only: set gpu to 1.")
    return kind


@dataclass(frozen=True)
class Resources:
    """What one replica claims: CPU in cores, memory in GiB, whole GPUs of `gpu_type` ("" is any)."""

    cpu: Annotated[float, Number(0.1, 1024), about("CPUs", "Cores for each replica; 1 by default.")] = 1.0
    memory_gib: Annotated[float, Number(0.1, 65536), about("Memory, GiB", "GiB for each replica; 1 by default.")] = 1.0
    gpu: Annotated[int, Whole(0, 64), about("GPUs", "Whole GPUs for each replica; 0 by default.")] = 0
    gpu_type: Annotated[
        str, Text(), AfterValidator(_type_needs_gpu), about("GPU type", 'A GPU product; "" is any.')
    ] = ""

    def times(self, replicas: int) -> Resources:
        return Resources(self.cpu * replicas, self.memory_gib * replicas, self.gpu * replicas, self.gpu_type)


@dataclass(frozen=True)
class Rule:
    """One label rule, as in a Kubernetes node affinity."""

    key: Annotated[str, Label(), about("", "A node label, such as gpu.product.")]
    operator: Annotated[str, OneOf(OPERATORS), about("", "In, NotIn, Exists, DoesNotExist, Gt or Lt.")]
    values: Annotated[tuple[str, ...], Texts(), AfterValidator(labels.fit_operator)] = ()


@dataclass(frozen=True)
class _Weight:
    weight: Annotated[int, Whole(1, 100), about("", "1 to 100.")] = field(default=1, kw_only=True)


@dataclass(frozen=True)
class PreferredRule(Rule, _Weight):
    """Among the nodes that may hold a replica, the one with the most weight does."""


@dataclass(frozen=True)
class Affinity:
    required: Annotated[
        tuple[Annotated[Rule, Nested(open=True, is_row=True)], ...],
        Rows(100, "rules", "At most 100 rules."),
        about("Required rules"),
    ] = ()
    preferred: Annotated[
        tuple[Annotated[PreferredRule, Nested(open=True, is_row=True)], ...],
        Rows(100, "rules", "At most 100 rules."),
        about("Preferred rules"),
    ] = ()


@dataclass(frozen=True)
class ServiceLimits:
    """What the gateway lets through to one service; None is the gateway's own default."""

    max_payload_mib: Annotated[
        int | None,
        Whole(1, LARGEST_PAYLOAD_MIB, optional=True),
        about("Largest request, MiB", "Of one request, 1 to the gateway's own (MAX_PAYLOAD_MIB)."),
    ] = None
    # Bound of a unary request. STREAM_MAX_SECONDS bounds streams.
    timeout_seconds: Annotated[
        int | None,
        Whole(1, 3600, optional=True),
        about("Longest request, seconds", "Of a request that is no stream, 1 to 3600; 300 when null."),
    ] = None
    # Over all replicas.
    concurrency: Annotated[
        int | None,
        Whole(1, 4096, optional=True),
        about("Requests at once", "Requests under way at once, 1 to 4096; more are answered 429."),
    ] = None
    stall_seconds: Annotated[
        int | None,
        Whole(5, 3600, optional=True),
        about(
            "Stuck after, seconds",
            "A replica that finishes nothing and computes nothing for so long is tested; 5 to 3600.",
        ),
    ] = None


@dataclass(frozen=True)
class Header:
    """A header that each request must carry, with its value. A condition, not a secret."""

    name: Annotated[str, HeaderName(), about("", "Of the header, such as x-tenant; case does not matter.")]
    value: Annotated[str, HeaderValue(), about("", "What it must hold: at most 256 printable ASCII characters.")]


@dataclass(frozen=True)
class Auth:
    policy: Annotated[str, OneOf(POLICIES), about("Who may call it", "api_key (default) or public.")] = "api_key"
    header: Annotated[
        str,
        HeaderName(optional=True),
        AfterValidator(headers.fit_policy),
        about("Header for the key", "One more header that takes the API key; case does not matter."),
    ] = ""
    parameters: Annotated[
        tuple[Annotated[Header, Nested(is_row=True)], ...],
        Rows(8, "{name, value}"),
        AfterValidator(headers.differ),
        about("Required headers", "Headers that each request must carry, at most 8. No secrets: shown to all."),
    ] = ()


@dataclass(frozen=True)
class Cors:
    allowed_origins: Annotated[
        tuple[Annotated[str, Origin()], ...],
        Rows(MAX_ORIGINS, "origins"),
        AfterValidator(origins.differ),
        about(
            "Web pages that may call it",
            "Origins whose pages may call it from a browser, such as https://app.example; * alone is every page.",
        ),
    ] = ()


CONFIG_HELP: Final = (
    "Triton: model (of a repository, the one that callers call; left out, its only ensemble), "
    "max_batch_size, instances, backend, dynamic_batching, inputs, outputs, parameters. "
    "vLLM: task, dtype, max_model_len, tensor_parallel_size, gpu_memory_utilization, quantization, lora_modules, "
    "max_loras, max_lora_rank, trust_remote_code, tool_call_parser, enable_auto_tool_choice, reasoning_parser, "
    "shared_memory_mib, cpu_kvcache_gib, extra_args, startup_timeout_seconds. Left out: as the model has it."
)


@dataclass(frozen=True)
class ServiceSpec:
    """What a revision freezes. The number of replicas is not part of it: scaling makes no revision."""

    framework: Annotated[str, Text(required=True), about("Framework", "triton or vllm.")]
    dataset: Annotated[str, Text(required=True), about("Dataset")]
    model_path: Annotated[str, Folder(), about("Model path", "Relative to the dataset.")] = ""
    queue: Annotated[str, Text(required=True), ReadBy.PLACEMENT, about("Queue", "`default` when left out.")] = "default"
    resources: Annotated[Resources, Nested()] = field(default_factory=Resources)
    auth: Annotated[Auth, Nested(), ReadBy.GATEWAY] = field(default_factory=Auth)
    cors: Annotated[Cors, Nested(), ReadBy.GATEWAY, about("", "Off when empty.")] = field(default_factory=Cors)
    limits: Annotated[
        ServiceLimits, Nested(), ReadBy.GATEWAY, about("", "What is left out, or null, is as the gateway has it.")
    ] = field(default_factory=ServiceLimits)
    affinity: Annotated[Affinity, Nested(open=True), ReadBy.PLACEMENT] = field(default_factory=Affinity)
    framework_config: Annotated[Mapping[str, Any], Free(), about("", CONFIG_HELP)] = field(default_factory=dict)
    env: Annotated[Mapping[str, str], Variables(), about("Environment variables", "Environment variables.")] = field(
        default_factory=dict
    )

    description: Annotated[
        str, Text(most=200), ReadBy.CONSOLE, about("Description", "What it is for, at most 200 characters.")
    ] = ""

    def to_json(self) -> dict[str, Any]:
        """As the REST API spells it, without name and replicas."""
        return stored.write(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ServiceSpec:
        """The inverse of `to_json`, for stored revisions. Input from people goes through `services.parsing`."""
        return stored.read(cls, data)


@cache
def fields_read_by(reader: ReadBy | None) -> tuple[str, ...]:
    """Names of the fields of a spec that it reads; None: the processes."""
    marks = {
        name: next((mark for mark in hint.__metadata__ if isinstance(mark, ReadBy)), None)
        for name, hint in get_type_hints(ServiceSpec, include_extras=True).items()
    }
    return tuple(name for name, mark in marks.items() if mark is reader)


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
    devices: tuple[Device, ...] = ()
    """Those that `gpus` counts, and those that have fallen out."""


@dataclass(frozen=True)
class Tensor:
    """One input or output of a model. `shape` uses -1 for a free dimension; `datatype` is the V2 name (FP32, BYTES)."""

    name: str
    datatype: str
    shape: tuple[int, ...]


MAIN, STEP, CALLED = "main", "step", "called"


@dataclass(frozen=True)
class ServedModel:
    """One of several models of a service."""

    name: Annotated[str, "Name of the model's folder."]
    backend: str
    role: Annotated[
        str, "main: callers call it, under the name of the service; step: of an ensemble; called: by other models."
    ]


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
    """For a language model: chat, completion or embedding."""
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
    spec: ServiceSpec
    runtime: Path
    """The framework's environment, for example var/runtimes/triton; the replica finds it at the same path."""
    models: Path
    """Where the replica finds the model files."""
    run_dir: Path
    """Where it finds its own working directory."""
    listeners: Listeners = WORKING_DIRECTORY
    """Where it listens."""
    devices: tuple[str, ...] = ()
    """UUIDs of its GPUs."""

    @property
    def visible_devices(self) -> str:
        """CUDA_VISIBLE_DEVICES. Set and empty, it hides all GPUs; not set, it would show all."""
        return ",".join(self.devices)


@dataclass(frozen=True)
class Launch:
    """How one replica is started: a pure value, rendered by a framework and executed by an engine.

    `files` (relative path -> content) and `links` (relative path -> target as the replica sees it) are made in its
    working directory first.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, Path] = field(default_factory=dict)
    sockets: Mapping[str, str] = field(default_factory=dict)
    """Field of `Listeners` -> the socket that the server makes in its working directory."""
    settle_seconds: int = 5
    """What ends sooner than this has failed to start: it is tried again twice, and then given up."""
    shared_memory_mib: int = 64
    """Size of its /dev/shm, where it has one of its own."""


def process_name(service: str, revision: int, index: int) -> str:
    """What an engine calls a replica, and its log: unique on the node."""
    return f"svc-{service}-r{revision}-{index}"


def process_of(service: str, name: str) -> tuple[int, int] | None:
    """(revision, index) when `name` is that of a process of this service, now or ever; None for any other text."""
    match = re.fullmatch(rf"svc-{re.escape(service)}-r([0-9]{{1,9}})-([0-9]{{1,5}})", name)
    return (int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True)
class ReplicaSpec:
    """One process for an engine; `name` as `process_name` makes it."""

    name: str
    run_dir: Path
    """Its working directory, as the engine sees it."""
    launch: Launch
    tree: Path | None = None
    """The model files, and below the runtime environment: all that it may read, with the system. None: no box."""
    runtime: Path | None = None
    devices: tuple[Path, ...] = ()
    """The files of its GPUs, all that it may open of these."""
    start_seconds: int = 5
    """It counts as started once it has stayed up this long."""
    start_retries: int = 2
    stop_seconds: int = 20
