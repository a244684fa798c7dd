"""Why vLLM gave up, in one sentence, from the last lines of its log.

The rules were written from logs of real failing starts of vLLM 0.32, those for GPUs from its source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

MAX_DETAIL: Final = 400
MAX_LINE: Final = 1000
"""A message says what it is about at its beginning; searching on would take long in a line without end."""
PREFIX: Final = re.compile(r"^\([A-Za-z0-9_-]+ pid=\d+\) (?:(?:ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^\]]+\] )?")
LAST_ERROR: Final = re.compile(r"^(?:pydantic\S*\.)?((?:[A-Za-z_][\w.]*)?(?:Error|Exception)): (.+)")
EMPTY: Final = re.compile(r"^(?:Engine core initialization failed|See root cause above|Worker failed|Executor failed)")
"""What the processes above say of the one that failed."""

RULES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"address already in use", re.I), "The HTTP port is in use by another process."),
    (
        re.compile(r"(?:CUDA out of memory|torch\.OutOfMemoryError|DefaultCPUAllocator: can't allocate memory)"),
        "There is not enough memory for the model: choose a smaller one, a smaller max_model_len, or more memory.",
    ),
    (
        re.compile(r"Free memory on device .*?\(([^)]*)\) on startup is less than desired"),
        "The GPU has less free memory ({0}) than asked for: lower gpu_memory_utilization, or free the GPU.",
    ),
    (
        re.compile(r"No available memory for the cache blocks"),
        "No memory is left for the KV cache: raise gpu_memory_utilization, or choose a smaller model.",
    ),
    (
        re.compile(r"max seq len \((\d+)\).*?(?:KV cache|kv cache).*?estimated maximum model length is (\d+)", re.I),
        "The KV cache is too small for max_model_len {0}: choose at most {1}, or give it more memory.",
    ),
    (
        re.compile(r"max seq len \((\d+)\)"),
        "The KV cache is too small for one request of max_model_len {0}: choose less, or give it more memory.",
    ),
    (
        re.compile(r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len \(.*?=?(\d+)"),
        "max_model_len is {0}, and the model's own context is {1}: choose at most that.",
    ),
    (
        re.compile(r"Model architectures \[(.*?)\] (?:are not supported|failed to be inspected)"),
        "vLLM does not serve models of the architecture {0}.",
    ),
    (
        re.compile(r"The checkpoint you are trying to load has model type `([^`]+)`"),
        "vLLM does not serve models of the type {0}.",
    ),
    (
        re.compile(r"(?:Unknown quantization method|Invalid quantization method):? ?'?([\w-]+)'?"),
        "vLLM has no quantisation named {0}.",
    ),
    (
        re.compile(r"(\w+) quantization is currently not supported in (\w+)"),
        "The quantisation {0} does not run on this kind of device ({1}).",
    ),
    (
        re.compile(r"torch\.(\w+) is not supported for quantization method (\w+)"),
        "The quantisation {1} does not compute in {0}: choose another dtype.",
    ),
    (
        re.compile(r"Can't load tokenizer for|Couldn't instantiate the backend tokenizer|Tokenizer class \S+ does not"),
        "The model's tokenizer is missing or cannot be read: tokenizer.json must lie beside config.json.",
    ),
    (
        re.compile(r"contains custom code which must be executed|trust_remote_code=True"),
        "The model brings Python code of its own: an administrator may set trust_remote_code after reading it.",
    ),
    (
        re.compile(r"LoRA rank (\d+) is greater than max_lora_rank (\d+)"),
        "A LoRA module has rank {0}, and max_lora_rank is {1}: raise it.",
    ),
    (
        re.compile(r"invalid tool call parser: (\w+)"),
        "vLLM has no tool call parser named {0}.",
    ),
    (re.compile(r"Reasoning parser '?(\w+)'? not found"), "vLLM has no reasoning parser named {0}."),
    (
        re.compile(r"head_size \d+ is not supported|[Uu]nsupported head.?size"),
        "vLLM does not serve attention heads of the model's size on this kind of device.",
    ),
    (re.compile(r"No space left on device"), "The disk, or the shared memory in /dev/shm, is full."),
    (
        re.compile(r"SafetensorError|Error while deserializing header"),
        "A file of the weights is broken or cut short: copy it again.",
    ),
    (re.compile(r"^Value error, (.+?)(?: \[type=value_error|$)"), "vLLM refused its configuration: {0}."),
    (re.compile(r"error: (unrecognized arguments: .*|argument .*)"), "vLLM refused its arguments: {0}."),
)


def explain(log: Sequence[str]) -> str:
    """One sentence; "" when the log says nothing that helps. The log may hold several starts: the latest counts."""
    lines = [PREFIX.sub("", line[:MAX_LINE]).strip() for line in log]
    for line in reversed(lines):
        for pattern, sentence in RULES:
            if match := pattern.search(line):
                return sentence.format(*(clean(part) for part in match.groups() if part is not None))
    for line in reversed(lines):
        match = LAST_ERROR.match(line)
        if match and not EMPTY.match(match[2]):
            return f"vLLM ended with {match[1]}: {clean(match[2])}."
    return ""


def clean(text: str) -> str:
    return text[:MAX_DETAIL].replace("'", "").strip().rstrip(".")
