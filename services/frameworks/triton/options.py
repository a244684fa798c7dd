"""`framework_config` of a Triton service: what people may send, and what is wrong with what they sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from console.errors import InvalidFields
from services.frameworks.triton import datatypes

PREFIX: Final = "framework_config"
INT32_MAX: Final = (1 << 31) - 1
INT64_MAX: Final = (1 << 63) - 1
MAX_INSTANCES: Final = 64
LONGEST_NAME: Final = 255
BACKEND_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")


class Problems(dict[str, list[str]]):
    """Field path -> messages, collected so that every wrong field is named at once."""

    def add(self, field: str, message: str) -> None:
        self.setdefault(f"{PREFIX}.{field}", []).append(message)


def parse(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Only the keys that set something. Raises InvalidFields."""
    problems = Problems()
    options: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in PARSERS:
            problems.add(str(key), f"Triton has no such option. Options: {', '.join(PARSERS)}.")
        elif value is not None:
            options[key] = PARSERS[key](key, value, problems)
    if not problems:
        check_together(options, problems)
    if problems:
        raise InvalidFields(problems)
    return {key: value for key, value in options.items() if value not in ("", [], {}) or key == "dynamic_batching"}


def check_together(options: Mapping[str, Any], problems: Problems) -> None:
    batching = options.get("dynamic_batching")
    if not batching or not batching["enabled"] or "max_batch_size" not in options:
        return
    limit = options["max_batch_size"]
    if limit == 0:
        problems.add("dynamic_batching", "Dynamic batching needs a max batch size of at least 1.")
    elif any(size > limit for size in batching.get("preferred_batch_size", ())):
        problems.add("dynamic_batching.preferred_batch_size", f"No preferred size may exceed max_batch_size ({limit}).")


def integer(field: str, value: Any, problems: Problems, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        problems.add(field, f"Must be a whole number, not {value!r}.")
    elif not least <= value <= most:
        problems.add(field, f"Must be between {least} and {most}, not {value}.")
    else:
        return value
    return least


def max_batch_size(field: str, value: Any, problems: Problems) -> int:
    return integer(field, value, problems, 0, INT32_MAX)


def instances(field: str, value: Any, problems: Problems) -> int:
    return integer(field, value, problems, 1, MAX_INSTANCES)


def backend(field: str, value: Any, problems: Problems) -> str:
    if not isinstance(value, str) or (value and not BACKEND_NAME.fullmatch(value)):
        problems.add(field, f"Must be the name of a Triton backend such as python or onnxruntime, not {value!r}.")
        return ""
    return value


def dynamic_batching(field: str, value: Any, problems: Problems) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        problems.add(field, 'Must be null or an object such as {"enabled": true}.')
        return {}
    batching: dict[str, Any] = {"enabled": value.get("enabled", True)}
    if not isinstance(batching["enabled"], bool):
        problems.add(f"{field}.enabled", f"Must be true or false, not {batching['enabled']!r}.")
    for key in value:
        if key not in ("enabled", "preferred_batch_size", "max_queue_delay_microseconds"):
            problems.add(f"{field}.{key}", "Dynamic batching has no such option.")
    if value.get("preferred_batch_size") is not None:
        batching["preferred_batch_size"] = sizes(
            f"{field}.preferred_batch_size", value["preferred_batch_size"], problems
        )
    if value.get("max_queue_delay_microseconds") is not None:
        name = f"{field}.max_queue_delay_microseconds"
        batching["max_queue_delay_microseconds"] = integer(
            name, value["max_queue_delay_microseconds"], problems, 0, 60_000_000
        )
    return batching


def sizes(field: str, value: Any, problems: Problems) -> list[int]:
    if not isinstance(value, list | tuple):
        problems.add(field, "Must be a list of whole numbers.")
        return []
    return sorted({integer(field, size, problems, 1, INT32_MAX) for size in value})


def tensors(field: str, value: Any, problems: Problems) -> list[dict[str, Any]]:
    if not isinstance(value, list | tuple):
        problems.add(field, 'Must be a list of {"name", "datatype", "shape"}.')
        return []
    rows = [tensor(f"{field}.{index}", item, problems) for index, item in enumerate(value)]
    names = [item["name"] for item in rows]
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        problems.add(field, f"{name!r} is there more than once.")
    return rows


def tensor(field: str, value: Any, problems: Problems) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        problems.add(field, 'Must be {"name", "datatype", "shape"}.')
        return {"name": "", "datatype": "", "shape": []}
    for key in value:
        if key not in ("name", "datatype", "shape"):
            problems.add(f"{field}.{key}", "A tensor has name, datatype and shape only.")
    name, datatype, shape = value.get("name"), value.get("datatype"), value.get("shape")
    if not isinstance(name, str) or not name.strip():
        problems.add(f"{field}.name", "Give the tensor's name, as the model spells it.")
    if datatype not in datatypes.V2:
        problems.add(f"{field}.datatype", f"Must be one of {', '.join(datatypes.V2)}, not {datatype!r}.")
    return {"name": name, "datatype": datatype, "shape": dims(f"{field}.shape", shape, problems)}


def dims(field: str, value: Any, problems: Problems) -> list[int]:
    if not isinstance(value, list | tuple) or not value:
        problems.add(field, "Must be a list with at least one dimension, such as [-1, 64]; -1 is any size.")
        return []
    for size in value:
        if isinstance(size, bool) or not isinstance(size, int) or not (size == -1 or 0 < size <= INT64_MAX):
            problems.add(field, f"A dimension is a whole number of at least 1, or -1 for any size, not {size!r}.")
            return []
    return list(value)


def parameters(field: str, value: Any, problems: Problems) -> dict[str, str]:
    if not isinstance(value, Mapping):
        problems.add(field, "Must be an object of names and texts.")
        return {}
    for key, text in value.items():
        if not isinstance(key, str) or not key.strip():
            problems.add(field, "A parameter needs a name.")
        elif not isinstance(text, str):
            problems.add(f"{field}.{key}", f"Must be text, not {text!r}.")
    return dict(value)


def model(field: str, value: Any, problems: Problems) -> str:
    if not isinstance(value, str) or "/" in value or not value.isprintable() or len(value) > LONGEST_NAME:
        problems.add(field, f"Must be the name of a model in the folder, not {str(value)[:LONGEST_NAME]!r}.")
        return ""
    return value


PARSERS: Final = {
    "max_batch_size": max_batch_size,
    "instances": instances,
    "dynamic_batching": dynamic_batching,
    "inputs": tensors,
    "outputs": tensors,
    "parameters": parameters,
    "backend": backend,
    "model": model,
}
