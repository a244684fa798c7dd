"""A service as people send it (form or REST API) -> ServiceSpec. Says every field that is wrong, not only the first.

What needs the database (does the dataset exist, is the name free) is checked in services/actions/services.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from console.errors import ConsoleError, InvalidFields
from services.frameworks import registry
from services.parsing.access import parse_auth, parse_limits
from services.parsing.cors import parse_cors
from services.parsing.wrong import Wrong, only, whole
from services.policies.affinity import DOES_NOT_EXIST, EXISTS, GT, LT, OPERATORS
from services.specs import STRATEGIES, Affinity, PreferredRule, Resources, Rule, ServiceSpec

NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_./]{0,251}[A-Za-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_REPLICAS = 64
MAX_RULES = 100
MAX_VARIABLE = 32 << 10
"""Characters. Linux starts no process with a variable of more than 128 KiB."""
MAX_PATH = 1024
RESERVED = frozenset({"new", "stats"})
"""These stand for something else in an address that has a service's name in it: at the console, and at Triton."""
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
    """Raises InvalidFields naming every wrong field."""
    wrong = Wrong()
    framework = _text(data, "framework", wrong)
    config: dict[str, Any] = {}
    if framework and framework not in registry.all_names():
        wrong.add(
            "framework", f"There is no framework {framework!r}. Choose one of: {', '.join(registry.all_names())}."
        )
    elif framework:
        raw = data.get("framework_config") or {}
        if not isinstance(raw, Mapping):
            wrong.add("framework_config", "Must be an object.")
        else:
            try:
                config = registry.get(framework).parse_config(raw)
            except InvalidFields as error:
                wrong.errors.update(error.errors)
            except ConsoleError as error:  # a framework that cannot be had here
                wrong.add("framework", str(error))
    env = _env(data.get("env") or {}, wrong)
    if framework in registry.all_names():
        for name in registry.get(framework).refused_env(env):
            wrong.add(f"env.{name}", "Cannot be set: it would break the isolation of the service.")
    auth = parse_auth(data.get("auth") or {}, wrong)
    spec = ServiceSpec(
        framework=framework,
        dataset=_text(data, "dataset", wrong),
        model_path=_path(data, wrong),
        queue=_text(data, "queue", wrong, default="default"),
        resources=_resources(data.get("resources") or {}, wrong),
        auth_policy=auth.policy,
        auth_header=auth.header,
        auth_parameters=auth.parameters,
        cors_origins=parse_cors(data.get("cors") or {}, wrong),
        limits=parse_limits(data.get("limits") or {}, wrong),
        affinity=_affinity(data.get("affinity") or {}, wrong),
        framework_config=config,
        env=env,
    )
    wrong.end()
    return spec


def _text(data: Mapping[str, Any], field: str, wrong: Wrong, default: str = "") -> str:
    value = data.get(field, default)
    if not isinstance(value, str):
        wrong.add(field, "Must be text.")
        return ""
    if not value.strip():
        wrong.add(field, "Is required.")
    return value.strip()


def _path(data: Mapping[str, Any], wrong: Wrong) -> str:
    value = data.get("model_path", "")
    if not isinstance(value, str):
        wrong.add("model_path", "Must be text.")
        return ""
    if "\0" in value or value.startswith("/") or ".." in value.split("/"):
        wrong.add("model_path", "Must be a path inside the dataset: relative, without `..`.")
    if len(value) > MAX_PATH:
        wrong.add("model_path", f"At most {MAX_PATH} characters.")
    return value.strip("/")


def _resources(data: Any, wrong: Wrong) -> Resources:
    if not isinstance(data, Mapping):
        wrong.add("resources", "Must be an object.")
        return Resources()
    only(data, "resources", ("cpu", "memory_gib", "gpu", "gpu_type"), wrong)
    cpu = _number(data.get("cpu", 1), "resources.cpu", wrong, low=0.1, high=1024)
    memory = _number(data.get("memory_gib", 1), "resources.memory_gib", wrong, low=0.1, high=65536)
    gpu = whole(data.get("gpu", 0), "resources.gpu", wrong, low=0, high=64)
    gpu_type = data.get("gpu_type", "")
    if not isinstance(gpu_type, str):
        wrong.add("resources.gpu_type", "Must be text.")
        gpu_type = ""
    elif gpu_type and not gpu:
        wrong.add("resources.gpu_type", "Set gpu to at least 1 as well, or leave the type empty.")
    return Resources(cpu, memory, gpu, gpu_type.strip())


def _number(value: Any, field: str, wrong: Wrong, *, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        wrong.add(field, f"Must be a number from {low:g} to {high:g}.")
        return low
    return float(value)


def _affinity(data: Any, wrong: Wrong) -> Affinity:
    if not isinstance(data, Mapping):
        wrong.add("affinity", "Must be an object with `required` and `preferred`.")
        return Affinity()
    required = [_rule(rule, f"affinity.required.{i}", wrong) for i, rule in enumerate(_rows(data, "required", wrong))]
    preferred = []
    for i, row in enumerate(_rows(data, "preferred", wrong)):
        weight = row.get("weight", 1) if isinstance(row, Mapping) else 1
        weight = whole(weight, f"affinity.preferred.{i}.weight", wrong, low=1, high=100)
        preferred.append(PreferredRule(weight, _rule(row, f"affinity.preferred.{i}", wrong)))
    return Affinity(tuple(required), tuple(preferred))


def _rows(data: Mapping[str, Any], field: str, wrong: Wrong) -> list[Any]:
    rows = data.get(field) or []
    if not isinstance(rows, list | tuple):
        wrong.add(f"affinity.{field}", "Must be a list of rules.")
        return []
    if len(rows) > MAX_RULES:
        wrong.add(f"affinity.{field}", f"At most {MAX_RULES} rules.")
        return []
    return list(rows)


def _rule(row: Any, field: str, wrong: Wrong) -> Rule:
    if not isinstance(row, Mapping):
        wrong.add(field, "Must be an object with key, operator and values.")
        return Rule("", EXISTS)
    key, operator, values = row.get("key", ""), row.get("operator", ""), row.get("values") or []
    if not isinstance(key, str) or not LABEL.fullmatch(key):
        wrong.add(f"{field}.key", "Must be a node label such as gpu.product.")
    if not isinstance(operator, str) or operator not in OPERATORS:
        wrong.add(f"{field}.operator", f"Must be one of: {', '.join(OPERATORS)}.")
        operator = ""
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        wrong.add(f"{field}.values", "Must be a list of texts.")
        values = []
    if operator in {EXISTS, DOES_NOT_EXIST} and values:
        wrong.add(f"{field}.values", f"{operator} takes no values.")
    elif operator in {GT, LT} and not (len(values) == 1 and re.fullmatch(r"-?\d+", values[0])):
        wrong.add(f"{field}.values", f"{operator} takes exactly one whole number.")
    elif operator in {"In", "NotIn"} and not values:
        wrong.add(f"{field}.values", f"{operator} needs at least one value.")
    return Rule(str(key), str(operator), tuple(str(value) for value in values))


def _env(data: Any, wrong: Wrong) -> dict[str, str]:
    if not isinstance(data, Mapping):
        wrong.add("env", "Must be an object of names and values.")
        return {}
    for key, value in data.items():
        if not isinstance(key, str) or not VARIABLE.fullmatch(key):
            wrong.add(f"env.{key}", "A name has letters, digits and underscores and does not start with a digit.")
        elif not isinstance(value, str) or "\0" in value:
            wrong.add(f"env.{key}", "The value must be text.")
        elif len(value) > MAX_VARIABLE:
            wrong.add(f"env.{key}", f"At most {MAX_VARIABLE:,} characters.")
    return {str(key): str(value) for key, value in data.items()}
