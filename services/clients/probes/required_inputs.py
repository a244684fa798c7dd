"""What Triton's refusal of a request tells of a model, and its metadata does not: required inputs, streaming. Pure.

Triton counts the inputs of a request before it looks at them. A request with too many is refused, whatever they are:
the refusal names each required input that is missing, no model runs, and no metric counts it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from services.specs import Tensor

REFUSAL: Final = re.compile(r"missing required input\(s\) (.*?)\]\. Please provide", re.DOTALL)

STREAMS: Final = "decoupled transaction policy"
"""In the refusal of a model that streams. The word alone may be in the name of a model or of an input."""


def excess(inputs: Sequence[Tensor]) -> dict[str, Any]:
    """The body of a V2 REST inference with one input more than the model has, none of them the model's."""
    mark = "?" * (1 + max((len(tensor.name) for tensor in inputs), default=0))
    return {
        "inputs": [
            {"name": f"{mark}{i}", "datatype": "BOOL", "shape": [1], "data": [False]} for i in range(len(inputs) + 1)
        ]
    }


def optional_in(refusal: str, inputs: Sequence[Tensor]) -> frozenset[str] | None:
    """Names of the inputs that may be left out; None when `refusal` is no answer to `excess`."""
    match = REFUSAL.search(refusal)
    if match is None:
        return None
    return frozenset(tensor.name for tensor in inputs if f"'{tensor.name}'" not in match[1])


def is_decoupled(refusal: str) -> bool:
    """Whether an inference over HTTP was refused because the model streams its responses."""
    return STREAMS in refusal
