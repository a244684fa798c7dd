"""A service as people send it (form or REST API) -> ServiceSpec. Says every field that is wrong, not only the first.

What needs the database (does the dataset exist, is the name free) is checked in services/actions/checks.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from console.errors import ConsoleError, InvalidFields
from services.frameworks import registry
from services.schema import stored
from services.schema.structure import messages_of
from services.specs import STRATEGIES, ServiceSpec

NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
MAX_REPLICAS = 64
# These stand for something else in an address that has a service's name in it: at the console, and at Triton.
RESERVED = frozenset({"new", "stats"})
NAME_RULE = (
    "Use lower-case letters, digits and dashes, starting with a letter and ending with a letter or digit, at most 63 "
    "characters: it becomes part of an address."
)


def parse_name(name: Any) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidFields({"name": NAME_RULE})
    if name in RESERVED:
        raise InvalidFields({"name": f"{name} is taken by the console itself. Choose another name."})
    return name


def parse_replicas(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_REPLICAS:
        raise InvalidFields({"replicas": f"Must be a whole number from 1 to {MAX_REPLICAS}."})
    return value


def parse_strategy(value: Any) -> str:
    if value not in STRATEGIES:
        raise InvalidFields({"strategy": f"Must be {' or '.join(STRATEGIES)}."})
    return str(value)


def parse_spec(data: Mapping[str, Any]) -> ServiceSpec:
    """Raises InvalidFields naming every wrong field. Fields that a spec does not have are not looked at."""
    errors: dict[str, list[str]] = {}
    spec: ServiceSpec | None = None
    try:
        spec = stored.adapter(ServiceSpec).validate_python(data)
    except ValidationError as error:
        errors = messages_of(error)
    config: dict[str, Any] = {}
    framework = data.get("framework")
    if isinstance(framework, str) and framework.strip():
        config = _of_framework(framework.strip(), data, errors)
    if errors or spec is None:
        raise InvalidFields(errors)
    return replace(spec, framework_config=config)


def _of_framework(name: str, data: Mapping[str, Any], errors: dict[str, list[str]]) -> dict[str, Any]:
    """The framework's own configuration; what is wrong with that, and with its variables, is added to `errors`."""
    names = registry.all_names()
    if name not in names:
        errors["framework"] = [f"There is no framework {name!r}. Choose one of: {', '.join(names)}."]
        return {}
    env, config = data.get("env"), data.get("framework_config") or {}
    for variable in registry.get(name).refused_env(map(str, env) if isinstance(env, Mapping) else ()):
        message = "Cannot be set: it would break the isolation of the service."
        errors.setdefault(f"env.{variable}", []).append(message)
    try:
        return registry.get(name).parse_config(config) if isinstance(config, Mapping) else {}
    except InvalidFields as error:
        errors.update(error.errors)
    except ConsoleError as error:  # a framework that cannot be had here
        errors["framework"] = [str(error)]
    return {}
