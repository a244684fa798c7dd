"""How one vLLM replica is started: argv, environment and files. Pure; an engine does it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from services.errors import ModelError
from services.frameworks.vllm import env, runtime
from services.frameworks.vllm.describe import Study, lora_rank, study
from services.frameworks.vllm.options import LORA_RANKS
from services.listeners import Address
from services.specs import Launch, LaunchContext

START: Final = Path(__file__).with_name("start.py")
"""Copied into the run directory: it runs in the runtime's Python, outside the checkout."""
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - looked at, nothing is written there
SETTLE_SECONDS: Final = 60
"""What is wrong shows within a minute: in imports, in the arguments, in the weights, in the memory."""
NO_COMPILER: Final = {"TORCHDYNAMO_DISABLE": "1"}
"""Eager mode compiles no model, but vLLM has torch compile some functions of its sampler when they are first used, such
as for `logprobs`: that takes a CPU a minute, in which no request gets on, and saves next to nothing after."""
NO_MEDIA: Final = "media.invalid"
"""The one host that pictures may be fetched from: a name that can never resolve."""
CLOSED: Final = (
    "--disable-fastapi-docs",
    "--disable-uvicorn-access-log",
    f"--allowed-media-domains={NO_MEDIA}",
    "--no-trust-request-chat-template",
    "--no-trust-request-mm-kwargs",
    "--no-enable-prompt-embeds",
    "--no-enable-tokenizer-info-endpoint",
    "--no-enable-log-requests",
    "--no-enable-mm-embeds",
)
"""As far as vLLM lets itself be closed."""


def render(context: LaunchContext) -> Launch:
    """Raises ModelError when files, options, environment variables or the runtime rule a start out."""
    inspection = study(context.tree, context.spec.framework_config)
    if inspection.problems:
        raise ModelError(" ".join(inspection.problems))
    if refused := env.refused(context.spec.env):
        raise ModelError(
            f"The environment variable {', '.join(refused)} cannot be set: it would break the isolation of the service."
        )
    on_cpu = runtime.kind(context.runtime) == runtime.CPU
    check_devices(context, on_cpu)
    check_shared_memory(context.spec.framework_config)
    cache_files = runtime.cached_files(context.runtime, inspection.architectures)
    python = str(context.runtime / "bin" / "python")
    return Launch(
        argv=(python, "-IS", str(context.run_dir / "start.py"), python, *server(context, inspection, on_cpu)),
        env=env.environment(context, on_cpu) | (NO_COMPILER if is_eager(context, on_cpu) else {}),
        files={
            "start.py": START.read_bytes(),
            "tmp/.keep": b"",
            **{f"cache/vllm/{runtime.KNOWN}/{name}": content for name, content in cache_files.items()},
        },
        sockets={"http": context.listeners.http.path} if context.listeners.http.path else {},
        settle_seconds=SETTLE_SECONDS,
        shared_memory_mib=context.spec.framework_config.get("shared_memory_mib")
        or round(context.spec.resources.memory_gib * 1024),
    )


def server(context: LaunchContext, inspection: Study, on_cpu: bool) -> tuple[str, ...]:
    options = context.spec.framework_config
    return (
        # Not the `vllm` script: in the CPU build it looks for a distribution named vllm and ends.
        *("-m", "vllm.entrypoints.openai.api_server"),
        f"--model={context.models}",
        f"--served-model-name={context.service}",
        *listen(context.listeners.http),
        *CLOSED,
        *task_flags(inspection),
        *precision(options, inspection, on_cpu),
        *capacity(context, options),
        *lora(context, options),
        *parsers(options),
        *(["--trust-remote-code"] if options.get("trust_remote_code") else []),
        *(["--enforce-eager"] if on_cpu and not sets(options, "enforce-eager") else []),
        *options.get("extra_args", ()),
    )


def listen(address: Address) -> tuple[str, ...]:
    """The gateway is the only client. No --api-key: it would guard /v1 only, and keep out nobody else."""
    return (f"--uds={address.path}",) if address.path else (f"--host={address.host}", f"--port={address.port}")


def task_flags(inspection: Study) -> tuple[str, ...]:
    return ("--runner=pooling", "--convert=auto") if inspection.task == "embedding" else ("--runner=generate",)


def precision(options: Mapping[str, Any], inspection: Study, on_cpu: bool) -> tuple[str, ...]:
    """On a CPU, float32 weights stay so: `auto` would make them bfloat16, which few CPUs compute quickly."""
    dtype, quantization = options.get("dtype", "auto"), options.get("quantization")
    if dtype == "auto" and on_cpu and inspection.dtype == "float32" and not quantization:
        dtype = "float32"
    return (f"--dtype={dtype}", *([f"--quantization={quantization}"] if quantization else []))


def capacity(context: LaunchContext, options: Mapping[str, Any]) -> tuple[str, ...]:
    parts = options.get("tensor_parallel_size") or max(1, context.spec.resources.gpu)
    flags = [f"--tensor-parallel-size={parts}"]
    if length := options.get("max_model_len"):
        flags.append(f"--max-model-len={length}")
    if share := options.get("gpu_memory_utilization"):
        flags.append(f"--gpu-memory-utilization={share:g}")
    return tuple(flags)


def lora(context: LaunchContext, options: Mapping[str, Any]) -> tuple[str, ...]:
    """An adapter is called `<service>:<name>`. The limits are those asked for, else what the adapters need."""
    modules = options.get("lora_modules")
    if not modules:
        return ()
    needed = lora_rank(context.tree, modules)
    rank = options.get("max_lora_rank") or next((rank for rank in LORA_RANKS if rank >= max(8, needed)), LORA_RANKS[-1])
    return (
        "--enable-lora",
        f"--max-loras={options.get('max_loras') or len(modules)}",
        f"--max-lora-rank={rank}",
        "--lora-modules",
        *(f"{context.service}:{module['name']}={context.models / module['path']}" for module in modules),
    )


def parsers(options: Mapping[str, Any]) -> tuple[str, ...]:
    flags = [
        f"--{name.replace('_', '-')}={options[name]}"
        for name in ("tool_call_parser", "reasoning_parser")
        if options.get(name)
    ]
    return (*flags, *(["--enable-auto-tool-choice"] if options.get("enable_auto_tool_choice") else []))


def is_eager(context: LaunchContext, on_cpu: bool) -> bool:
    """As --enforce-eager is given in `server`, or by the user."""
    return on_cpu and "--no-enforce-eager" not in context.spec.framework_config.get("extra_args", ())


def sets(options: Mapping[str, Any], flag: str) -> bool:
    return any(argument in (f"--{flag}", f"--no-{flag}") for argument in options.get("extra_args", ()))


def check_devices(context: LaunchContext, on_cpu: bool) -> None:
    gpus, parts = context.spec.resources.gpu, context.spec.framework_config.get("tensor_parallel_size", 1)
    if on_cpu and gpus:
        raise ModelError(
            "The vLLM of this node is the build for CPUs: ask for 0 GPUs, or run `make runtime-vllm` on a "
            "machine with one."
        )
    if not on_cpu and not gpus:
        raise ModelError("The vLLM of this node is the build for GPUs: ask for at least 1 GPU.")
    if not on_cpu and parts > gpus:
        raise ModelError(f"tensor_parallel_size is {parts}: ask for as many GPUs, not {gpus}.")


def check_shared_memory(options: Mapping[str, Any]) -> None:
    """Its processes talk through /dev/shm, which containers often keep at 64 MiB."""
    size = options.get("shared_memory_mib")
    if not size:
        return
    stat = os.statvfs(SHARED_MEMORY)
    free = stat.f_bavail * stat.f_frsize >> 20
    if free < size:
        raise ModelError(
            f"The service asks for {size} MiB of shared memory, and {SHARED_MEMORY} has {free} MiB free: enlarge it "
            "(for a container: --shm-size), or ask for less."
        )
