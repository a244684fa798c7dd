"""Frameworks by name. Lazy, so that what one framework needs is imported when it is asked for, not before."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final

from console.errors import NotFound
from services.frameworks.base import Framework

PATHS: Final = {
    "triton": "services.frameworks.triton.framework.Triton",
    "vllm": "services.frameworks.vllm.framework.Vllm",
}


def all_names() -> tuple[str, ...]:
    return tuple(PATHS)


@cache
def get(name: str) -> Framework:
    """Raises NotFound for a name that is none of `all_names()`."""
    if name not in PATHS:
        raise NotFound(f"There is no framework {name!r}.", hint=f"Frameworks: {', '.join(PATHS)}.")
    module, _, attribute = PATHS[name].rpartition(".")
    framework: Framework = getattr(import_module(module), attribute)()
    return framework
