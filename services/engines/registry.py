"""The engines there are, by the name that a node carries. Each is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from console.home import Home
from services.engines.base import Engine
from services.errors import EngineError

ENGINES: Final = {"local": "services.engines.local.engine:LocalEngine"}


def get(name: str, home: Home, sandbox: str) -> Engine:
    try:
        path, attribute = ENGINES[name].split(":")
    except KeyError:
        names = ", ".join(sorted(ENGINES))
        raise EngineError(f"There is no engine {name!r}.", permanent=True, hint=f"There are: {names}.") from None
    engine = getattr(import_module(path), attribute)(home, sandbox)
    assert isinstance(engine, Engine)
    return engine
