"""One model folder of the corpus: how it is written, what is said of it before a start, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype

Arrays = Mapping[str, NDArray[Any]]
Write = Callable[[Path], None]
HALVES = frozenset({"FP16", "BF16"})
"""Datatypes that V2 has no JSON for."""


@dataclass(frozen=True)
class Request:
    """One inference. `responses`: outputs by name; a decoupled model may give any number of them."""

    inputs: Arrays
    responses: Sequence[Arrays] = ()
    error: str = ""
    """What every protocol says instead."""
    status: int = 500
    """HTTP status of the error."""
    start: bool = False
    end: bool = False
    """Whether the request starts a sequence, and whether it ends one."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the V2 request, such as `priority` and `timeout`."""
    version: str = ""
    """Version of the model; "" leaves the choice to the server."""
    requested: Mapping[str, int] = field(default_factory=dict)
    """Outputs asked for by name -> how many classes of it, 0 for its values. Empty: all outputs."""

    @property
    def outputs(self) -> Arrays:
        [only] = self.responses
        return only

    @property
    def fits_v1(self) -> bool:
        """KServe V1 has inputs, and nothing else."""
        return not (self.version or self.parameters or self.requested)


@dataclass(frozen=True)
class V1:
    """A KServe V1 request whose answer does not follow from `Case.requests`."""

    body: Mapping[str, Any]
    answer: Mapping[str, Any] | None = None
    status: int = 200
    error: str = ""


@dataclass(frozen=True, eq=False)
class Case:
    """`write` makes the model folder. A case without `refused` and `fails` is served: READY, and answers `requests`."""

    name: str
    write: Write
    requests: Sequence[Request] = ()
    framework: str = "triton"
    path: str = ""
    """Path of the model below the folder that `write` makes, where that is not the model itself."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """`framework_config`, as the form sends it."""
    env: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[str] | None = None
    """What is read of the inputs before a start, such as "IN FP32 [-1, 2]"; None where that is not the point."""
    notes: Sequence[str] = ()
    """Sentences said before a start, which is possible all the same; each is whole."""
    refused: Sequence[str] = ()
    """Sentences for which no service is made; each is whole."""
    in_report: bool = True
    """Whether the files alone are the reason, not what the service asks of them."""
    fails: str = ""
    """What the service says once its start has failed."""
    v1: Sequence[V1] = ()
    has_v1: bool = True
    """False where V1 cannot carry what the model needs: a stream, or the parameters of a sequence."""
    has_rows: bool = False
    """Whether each row of the first axis is one instance of V1."""
    stateful: bool = False
    """Its requests form one sequence."""
    like: str = ""
    """The case that callers cannot tell from this one. That one goes through the whole product, this one to Triton."""

    @property
    def model_path(self) -> str:
        """In the dataset of all cases."""
        return f"{self.name}/{self.path}" if self.path else self.name

    @property
    def served(self) -> bool:
        return not self.refused and not self.fails

    @property
    def decoupled(self) -> bool:
        return any(len(request.responses) != 1 and not request.error for request in self.requests)


def datatype(values: NDArray[Any]) -> str:
    """Its V2 name."""
    return "BF16" if values.dtype == ml_dtypes.bfloat16 else str(np_to_triton_dtype(values.dtype))


def array(values: Any, dtype: Any = np.float32) -> NDArray[Any]:
    return np.array(values, dtype=dtype)


def texts(*values: str | bytes, shape: Sequence[int] | None = None) -> NDArray[Any]:
    """BYTES: an array of bytes."""
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    flat = np.empty(len(encoded), dtype=object)
    flat[:] = encoded
    return flat if shape is None else flat.reshape(shape)
