"""The environment of a vLLM replica: what the console sets, and what nobody else may, trusted or not.

Which of the other variables need trust is in services/frameworks/variables.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from services.frameworks.vllm.options import START_SECONDS
from services.specs import LaunchContext

ALLOWED: Final = frozenset({"VLLM_LOGGING_LEVEL", "HF_HUB_VERBOSITY", "TRANSFORMERS_VERBOSITY"})
"""Exceptions to the families below: they only set the log level."""
REFUSED: Final = frozenset(
    {
        "PATH",
        "HOME",
        "TMPDIR",
        "TEMP",
        "TMP",
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "DO_NOT_TRACK",
        "MASTER_ADDR",
        "MASTER_PORT",
        "GLOO_SOCKET_IFNAME",
        "NCCL_SOCKET_IFNAME",
        "BASH_ENV",
        "ENV",
        "SHELL",
    }
)
FAMILIES: Final = (
    "VLLM_",  # development endpoints, pickles over sockets, plugins, media limits, ...: hardening is set below
    "LD_",  # foreign code into the server
    "PYTHON",
    "HF_",
    "HUGGINGFACE_",
    "TRANSFORMERS_",  # where models come from, and tokens for it
    "TORCHINDUCTOR_",
    "TORCH_EXTENSIONS_",
    "TRITON_",
    "XDG_",  # caches that hold code
)
MAX_N: Final = 16
"""Answers that one request may ask for (`n`): vLLM's own limit, 16,384, is a way to run out of memory."""

KEEP_ALIVE_SECONDS: Final = 7200
"""Longer than the hour after which the gateway closes a connection that is idle: by default vLLM closes it after five
seconds, and a request that was sent in the same moment fails.
"""


def refused(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name in REFUSED or (name.startswith(FAMILIES) and name not in ALLOWED))


def environment(context: LaunchContext, on_cpu: bool) -> dict[str, str]:
    """Complete: nothing is inherited. The user's variables may set all but what isolates and hardens the child."""
    cores = str(max(1, math.floor(context.spec.resources.cpu)))
    run_dir = context.run_dir
    variables = {
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": cores,
        "TOKENIZERS_PARALLELISM": "false",
        **context.spec.env,
        "PATH": f"{context.runtime / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(run_dir),
        "TMPDIR": str(run_dir / "tmp"),
        "XDG_CACHE_HOME": str(run_dir / "cache"),
        "XDG_CONFIG_HOME": str(run_dir / "cache"),
        "PYTHONUTF8": "1",  # whatever locale the user's variables name
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": context.visible_devices,
        "PYTHONWARNINGS": "ignore::DeprecationWarning,ignore::FutureWarning",
        **offline(run_dir),
        **HARDENING,
        # Relative to the working directory: a unix socket's name has room for 107 bytes, and a home may be long.
        "VLLM_RPC_BASE_PATH": "tmp",
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(KEEP_ALIVE_SECONDS),
        "VLLM_ENGINE_READY_TIMEOUT_S": str(context.spec.framework_config.get("startup_timeout_seconds", START_SECONDS)),
    }
    return variables | (cpu(context.spec.framework_config, context.spec.resources.memory_gib) if on_cpu else {})


def offline(run_dir: Path) -> dict[str, str]:
    """The model is on disk. Nothing is fetched, nothing is told to anybody."""
    cache = run_dir / "cache"
    return {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(cache / "huggingface"),
        "VLLM_CACHE_ROOT": str(cache / "vllm"),
        "VLLM_CONFIG_ROOT": str(cache / "vllm-config"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        "DO_NOT_TRACK": "1",
    }


HARDENING: Final[Mapping[str, str]] = {
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_LOOPBACK_IP": "127.0.0.1",
    "MASTER_ADDR": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "VLLM_SERVER_DEV_MODE": "0",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "0",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "0",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    "VLLM_MAX_N_SEQUENCES": str(MAX_N),
    "VLLM_PLUGINS": "",  # none that happens to be installed in the runtime
}


def cpu(options: Mapping[str, Any], memory_gib: float) -> dict[str, str]:
    """The KV cache takes what it is given at once: a third of the replica's memory, and 1 GiB at least."""
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(options.get("cpu_kvcache_gib") or max(1, math.floor(memory_gib / 3))),
        # Binding to cores would put every replica of a node on the same ones.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
