"""`framework_config` of a Triton service: what people may send."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, PlainValidator, TypeAdapter
from typing_extensions import TypedDict

from services.frameworks.triton import datatypes
from services.schema.kinds import Flag, OneOf, Whole, Word, about, refuse
from services.schema.structure import Nested, Problem, Rows, refuse_all, repeated

INT32_MAX: Final = (1 << 31) - 1
INT64_MAX: Final = (1 << 63) - 1
MAX_INSTANCES: Final = 64
MAX_TENSORS: Final = 10_000
LONGEST_NAME: Final = 255
BACKEND_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")


def _filled(value: Any) -> Any:
    """Batching is on unless it says something else; null is as the model has it."""
    given = {key: option for key, option in value.items() if option is not None} if isinstance(value, Mapping) else {}
    return {"enabled": True, **given} if isinstance(value, Mapping) else value


def _tensor_name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        refuse("Give the tensor's name, as the model spells it.")
    return value


def _shape(value: Any) -> list[int]:
    if not isinstance(value, list | tuple) or not value:
        refuse("Must be a list with at least one dimension, such as [-1, 64]; -1 is any size.")
    for size in value:
        if isinstance(size, bool) or not isinstance(size, int) or not (size == -1 or 0 < size <= INT64_MAX):
            refuse(f"A dimension is a whole number of at least 1, or -1 for any size, not {size!r}.")
    return list(value)


def _differ(rows: list[_Tensor]) -> list[_Tensor]:
    refuse_all(repeated([row.name for row in rows], "name"))
    return rows


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        refuse("Must be an object of names and texts.")
    problems: list[Problem] = [((), "A parameter needs a name.") for name in value if not name.strip()]
    problems += [((name,), f"Must be text, not {text!r}.") for name, text in value.items() if not isinstance(text, str)]
    refuse_all(problems)
    return dict(value)


def _model(value: Any) -> str:
    if not isinstance(value, str) or "/" in value or not value.isprintable() or len(value) > LONGEST_NAME:
        refuse(f"Must be the name of a model in the folder, not {str(value)[:LONGEST_NAME]!r}.")
    return value


@dataclass(frozen=True)
class _Tensor:
    name: Annotated[str, PlainValidator(_tensor_name)]
    datatype: Annotated[str, OneOf(datatypes.V2)]
    shape: Annotated[list[int], PlainValidator(_shape)]


_Tensors = Annotated[
    list[Annotated[_Tensor, Nested(is_row=True)]],
    Rows(MAX_TENSORS, '{"name", "datatype", "shape"}'),
    AfterValidator(_differ),
]


class Batching(TypedDict, total=False):
    enabled: Annotated[bool, Flag(), about("Dynamic batching")]
    preferred_batch_size: Annotated[
        list[Annotated[int, Whole(1, INT32_MAX)]],
        Rows(MAX_TENSORS, "whole numbers"),
        AfterValidator(lambda sizes: sorted(set(sizes))),
        about("Preferred batch sizes"),
    ]
    max_queue_delay_microseconds: Annotated[int, Whole(0, 60_000_000), about("Longest queue delay")]


class Options(TypedDict, total=False):
    model: Annotated[str, PlainValidator(_model), about("Model that callers call")]
    backend: Annotated[
        str,
        Word(BACKEND_NAME, "the name of a Triton backend such as python or onnxruntime", optional=True),
        about("Backend"),
    ]
    max_batch_size: Annotated[int, Whole(0, INT32_MAX), about("Max batch size")]
    instances: Annotated[int, Whole(1, MAX_INSTANCES), about("Instances in each replica")]
    dynamic_batching: Annotated[Batching, Nested(is_row=True), BeforeValidator(_filled)]
    inputs: Annotated[_Tensors, about("Inputs")]
    outputs: Annotated[_Tensors, about("Outputs")]
    parameters: Annotated[dict[str, str], PlainValidator(_texts), about("Parameters")]


def _fit(options: Options) -> Options:
    """Raises for options that do not go together."""
    batching, limit = options.get("dynamic_batching"), options.get("max_batch_size")
    if batching and batching["enabled"] and limit is not None:
        if limit == 0:
            refuse_all([(("dynamic_batching",), "Dynamic batching needs a max batch size of at least 1.")])
        if any(size > limit for size in batching.get("preferred_batch_size", ())):
            message = f"No preferred size may exceed max_batch_size ({limit})."
            refuse_all([(("dynamic_batching", "preferred_batch_size"), message)])
    return options


SHAPE: Final[TypeAdapter[Options]] = TypeAdapter(Annotated[Options, Nested(is_row=True), AfterValidator(_fit)])
