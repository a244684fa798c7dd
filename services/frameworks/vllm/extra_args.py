"""Which further flags of vLLM a person may set, and what their values may be.

An allow-list: they tune speed and memory. Left out is whatever opens a port or an endpoint, reads or loads a file, a
plugin or code, reaches the network, writes what callers send into a log, or is set by the console already.
"""

from __future__ import annotations

import re
from typing import Final

SWITCH: Final = re.compile(r"")
NUMBER: Final = re.compile(r"[0-9]{1,9}")
REAL: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
WORD: Final = re.compile(r"[A-Za-z0-9_]{1,40}")

BOTH_WAYS: Final = (
    "enable-prefix-caching",
    "enable-chunked-prefill",
    "enforce-eager",
    "disable-sliding-window",
    "disable-cascade-attn",
    "async-scheduling",
    "enable-expert-parallel",
    "language-model-only",
    "enable-prompt-tokens-details",
    "exclude-tools-when-tool-choice-none",
)
"""Also as --no-<name>."""
ALLOWED: Final[dict[str, re.Pattern[str]]] = {
    **{f"--{name}": SWITCH for name in BOTH_WAYS},
    **{f"--no-{name}": SWITCH for name in BOTH_WAYS},
    "--max-num-seqs": NUMBER,
    "--max-num-batched-tokens": NUMBER,
    "--max-num-queued-reqs": NUMBER,
    "--max-num-queued-tokens": NUMBER,
    "--long-prefill-token-threshold": NUMBER,
    "--block-size": NUMBER,
    "--num-gpu-blocks-override": NUMBER,
    "--kv-cache-memory-bytes": NUMBER,
    "--kv-cache-dtype": WORD,
    "--cpu-offload-gb": REAL,
    "--seed": NUMBER,
    "--max-logprobs": NUMBER,
    "--stream-interval": NUMBER,
    "--scheduling-policy": re.compile(r"fcfs|priority"),
    "--performance-mode": re.compile(r"balanced|interactivity|throughput"),
    "--attention-backend": WORD,
    "--chat-template-content-format": re.compile(r"auto|openai|string"),
    "--generation-config": re.compile(r"auto|vllm"),  # else it is a folder to read
    "--sse-keep-alive-interval": NUMBER,
}


def problem(argument: str) -> str:
    """What is wrong with it, as a sentence; "" when it may be passed on."""
    name, sign, value = argument.partition("=")
    pattern = ALLOWED.get(name)
    if pattern is None:
        return f"{name or 'An empty text'} is not one of the arguments that may be set: {', '.join(sorted(ALLOWED))}."
    if pattern is SWITCH:
        return f"{name} takes no value." if sign else ""
    if not pattern.fullmatch(value):
        return f"{name} needs a value as in {name}={example(pattern)}, not {value!r}."
    return ""


def example(pattern: re.Pattern[str]) -> str:
    return {NUMBER: "64", REAL: "0.5", WORD: "auto"}.get(pattern) or pattern.pattern.split("|")[0]
