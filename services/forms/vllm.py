"""The fields of a vLLM service: what is left empty is as the model's own config.json, or vLLM itself, has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.http import QueryDict

from services.forms.inputs import labels_of, types_of
from services.forms.typed import CONFIG, Row, number, plain
from services.frameworks.vllm.options import LORA_RANKS, Options

TASKS: Final = [
    ("", "As in config.json"),
    ("chat", "Chat"),
    ("completion", "Completion"),
    ("embedding", "Embedding"),
]
DTYPES: Final = [
    ("", "As vLLM chooses"),
    ("auto", "auto: as in config.json"),
    ("float32", "float32"),
    ("bfloat16", "bfloat16"),
    ("float16", "float16"),
]
RANKS: Final = [("", "As the adapters have it"), *((str(rank), str(rank)) for rank in LORA_RANKS)]
READ: Final = ("task", "max_model_len", "dtype")
"""What the files say is filled in. Left as it was read, it is not sent: other files may say something else."""
TYPES: Final = types_of(Options)
TEXTS: Final = tuple(name for name, kind in TYPES.items() if kind is str)
NUMBERS: Final = tuple(name for name, kind in TYPES.items() if kind in (int, float))
SWITCHES: Final = tuple(name for name, kind in TYPES.items() if kind is bool)
EXTRA: Final = "extra_args"

MODULES: Final = f"{CONFIG}.lora_modules"
DEFAULTS: Final = {f"{CONFIG}.{name}": "" for name in (*TEXTS, *NUMBERS, *SWITCHES, EXTRA)}
COLUMNS: Final = {MODULES: ("name", "path")}
LABELS: Final = labels_of(Options, CONFIG)


def to_config(post: QueryDict, rows: Callable[[str], Sequence[Row]]) -> dict[str, Any]:
    """Only what was filled in, and is not what the files say anyway."""
    texts = {name: post.get(f"{CONFIG}.{name}", "").strip() for name in (*TEXTS, *NUMBERS)}
    given = {name: text for name, text in texts.items() if text and text != post.get(f"{CONFIG}.{name}.read")}
    config: dict[str, Any] = {name: number(text) if name in NUMBERS else text for name, text in given.items()}
    config |= {name: True for name in SWITCHES if post.get(f"{CONFIG}.{name}")}
    if modules := [{"name": row["name"].strip(), "path": row["path"]} for row in rows(MODULES)]:
        config["lora_modules"] = modules
    if arguments := [line.strip() for line in post.get(f"{CONFIG}.{EXTRA}", "").splitlines() if line.strip()]:
        config[EXTRA] = arguments
    return config


def values(config: Mapping[str, Any]) -> dict[str, str]:
    """The fields as the page shows them, of a revision's configuration."""
    return {
        **{f"{CONFIG}.{name}": plain(config[name]) for name in (*TEXTS, *NUMBERS) if name in config},
        **{f"{CONFIG}.{name}": "on" for name in SWITCHES if config.get(name)},
        f"{CONFIG}.{EXTRA}": "\n".join(config.get(EXTRA, ())),
    }


def rows_of(config: Mapping[str, Any]) -> dict[str, list[Row]]:
    return {MODULES: [{"name": m["name"], "path": m["path"]} for m in config.get("lora_modules", ())]}
