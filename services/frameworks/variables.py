"""Environment variables of a service: which ones everybody may set, and which need trust. Pure.

A process reads hundreds of variables, and many name files, libraries or servers: OPENSSL_CONF, GCONV_PATH, https_proxy.
So without trust only those listed here pass, with values that can name none, and names that only the model reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

NUMBER: Final = re.compile(r"-?[0-9]{1,9}")
WORDS: Final = re.compile(r"[A-Za-z0-9_ ,:;=(){}.*+-]{0,200}")
LOCALE: Final = re.compile(r"[A-Za-z0-9_@-]{1,40}(\.[A-Za-z0-9-]{1,20})?")
TIME_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
OWN_PREFIXES: Final = ("MODEL_", "APP_")
"""No server or library reads these: they are the model's own."""
LISTED: Final[dict[str, re.Pattern[str]]] = {
    **dict.fromkeys(
        (
            "OMP_NUM_THREADS",
            "OMP_THREAD_LIMIT",
            "OMP_MAX_ACTIVE_LEVELS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "BLIS_NUM_THREADS",
            "NUMEXPR_NUM_THREADS",
            "NUMEXPR_MAX_THREADS",
            "RAYON_NUM_THREADS",
            "KMP_BLOCKTIME",
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
            "CUDA_LAUNCH_BLOCKING",
            "CUDA_DEVICE_MAX_CONNECTIONS",
            "TF_CPP_MIN_LOG_LEVEL",
            "TF_ENABLE_ONEDNN_OPTS",
            "NVIDIA_TF32_OVERRIDE",
            "MALLOC_ARENA_MAX",
        ),
        NUMBER,
    ),
    **dict.fromkeys(
        (
            "OMP_DYNAMIC",
            "OMP_WAIT_POLICY",
            "OMP_PROC_BIND",
            "OMP_PLACES",
            "OMP_SCHEDULE",
            "OMP_STACKSIZE",
            "GOMP_CPU_AFFINITY",
            "KMP_AFFINITY",
            "MKL_DYNAMIC",
            "TOKENIZERS_PARALLELISM",
            "CUDA_DEVICE_ORDER",
            "CUDA_MODULE_LOADING",
            "PYTORCH_CUDA_ALLOC_CONF",
            "NCCL_DEBUG",
        ),
        WORDS,
    ),
    **dict.fromkeys(("LANG", "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MESSAGES"), LOCALE),
    "TZ": TIME_ZONE,
}


def unlisted(env: Mapping[str, str], more: Mapping[str, re.Pattern[str]] | None = None) -> dict[str, str]:
    """Name -> why it needs trust. `more`: what a framework lists besides."""
    listed = {**LISTED, **(more or {})}
    reasons = {}
    for name, value in sorted(env.items()):
        pattern = listed.get(name)
        if not name.startswith(OWN_PREFIXES) and (pattern is None or not pattern.fullmatch(value)):
            reasons[name] = _why(pattern)
    return reasons


def leads_to(value: str, roots: Iterable[str]) -> bool:
    """Whether a value names something in one of these folders, or above its own: files of another model, or ours."""
    parts = [part for part in value.split("/") if part not in {"", "."}]
    path = "/" + "/".join(parts) + "/"
    return "/" in value and (".." in parts or any(f"/{root.strip('/')}/" in path for root in roots))


def _why(pattern: re.Pattern[str] | None) -> str:
    if pattern is None:
        prefixes = " or ".join(OWN_PREFIXES)
        return (
            "It may have files loaded as code, so the dataset must be trusted first. Variables of the model's own that "
            f"begin with {prefixes} need no trust, nor do those that docs/services.md lists."
        )
    return f"Without trust in the dataset its value must be {WHAT[pattern]}."


WHAT: Final = {
    NUMBER: "a whole number",
    WORDS: "words and numbers, without a path",
    LOCALE: "a locale such as C.UTF-8",
    TIME_ZONE: "a time zone such as Europe/Berlin",
}
