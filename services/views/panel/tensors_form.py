"""The test panel's form, made from what the model says of its inputs: what it shows, and what was filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.files.uploadedfile import UploadedFile

from console.errors import InvalidFields
from services.access.doors import DOORS, refusal
from services.clients.inference.call import GRPC, HTTP, V1, Model
from services.clients.inference.inputs import read_step
from services.clients.inference.kserve_v1 import ROWS, example, values_of
from services.clients.inference.values import shown
from services.forms.names import number
from services.specs import Tensor

HOW: Final = (
    ("text", "Type or paste"),
    ("generate", "Generate"),
    ("file", "Upload a file"),
    ("none", "Leave this input out"),
)
KINDS: Final = (("random", "Random numbers"), ("zeros", "Zeros"), ("ones", "Ones"), ("sequence", "0, 1, 2, …"))
TEXT_KINDS: Final = (("text", "The same text everywhere"), *KINDS)
PROTOCOLS: Final = ((HTTP, "HTTP"), (GRPC, "gRPC"), (V1, "KServe V1"))
ENCODINGS: Final = (("auto", "Whichever suits the size"), ("json", "JSON"), ("binary", "Binary tensors"))


LONG_NUMBER: Final = 20
"""Digits of a sequence id that no number has."""


@dataclass(frozen=True)
class Dimension:
    """One dimension of an input. A free one (size -1) has a field; left empty, it follows from the values."""

    name: str
    label: str
    size: int
    value: str

    @property
    def free(self) -> bool:
        return self.size < 0


@dataclass(frozen=True)
class Protocol:
    """`refusal`: why the model cannot answer over it; "" when it can."""

    value: str
    label: str
    refusal: str


@dataclass
class PanelInput:
    """One input tensor as the form shows it. Field names start with `prefix`."""

    prefix: str
    tensor: Tensor
    values: Mapping[str, str]
    optional: bool = False
    errors: list[str] = field(default_factory=list)

    @property
    def shape(self) -> str:
        return shown(self.tensor.shape)

    @property
    def how(self) -> str:
        return self.values["how"]

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        return TEXT_KINDS if self.tensor.datatype == "BYTES" else KINDS

    @property
    def dimensions(self) -> list[Dimension]:
        names = [f"shape-{i}" for i in range(len(self.tensor.shape))]
        return [
            Dimension(self.prefix + name, f"Dimension {i} of {self.tensor.name}", size, self.values[name])
            for i, (name, size) in enumerate(zip(names, self.tensor.shape, strict=True), start=1)
        ]


class PanelForm:
    """`data` are the fields of a POST, {} for a fresh form."""

    def __init__(self, model: Model, data: Mapping[str, str], files: Mapping[str, Any] | None = None) -> None:
        self.model = model
        self.files = files or {}
        self.protocols = [
            Protocol(value, label, refusal(DOORS[value], decoupled=model.decoupled, sequences=model.sequences))
            for value, label in PROTOCOLS
        ]
        self.protocol = data.get("protocol") or next(each.value for each in self.protocols if not each.refusal)
        self.encoding = data.get("encoding") or "auto"
        self.api_key = (data.get("api_key") or "").strip()
        self.encodings = ENCODINGS
        self.how = HOW
        self.inputs = [
            PanelInput(f"i{i}-", tensor, _values(model, tensor, f"i{i}-", data), tensor.name in model.optional)
            for i, tensor in enumerate(model.inputs)
        ]
        step = read_step(None, model)
        self.sequence = _sequence(step.id, data) if step else None
        self.sequence_errors: list[str] = []
        body = example(model)
        self.v1 = data.get("v1") or ("" if body == {ROWS: []} else json.dumps(body))
        self.v1_values = values_of(model)
        self.v1_errors: list[str] = []
        self.others: list[str] = []
        """What is wrong and belongs to no input."""

    def payload(self) -> dict[str, Any]:
        """For panel.tensors.probe. Raises InvalidFields for a V1 body that is no JSON object."""
        if self.protocol == V1:
            return {**self._v1_body(), "protocol": V1, "api_key": self.api_key}
        rows = [self._row(item) for item in self.sent]
        sequence = {"sequence": self.sequence} if self.sequence else {}
        return {
            "protocol": self.protocol,
            "encoding": self.encoding,
            "api_key": self.api_key,
            "inputs": rows,
            **sequence,
        }

    def _v1_body(self) -> dict[str, Any]:
        if not self.v1.strip():
            raise InvalidFields({"instances": f"Paste a request: an example would have {self.v1_values:,} values."})
        try:
            body = json.loads(self.v1)
        except (ValueError, RecursionError) as error:
            raise InvalidFields({"instances": f"This is not JSON: {error}."}) from None
        if not isinstance(body, dict) or not body.keys() & {"instances", "inputs"}:
            raise InvalidFields({"instances": 'Give an object: {"instances": [...]} or {"inputs": ...}.'})
        return body

    @property
    def sent(self) -> list[PanelInput]:
        return [item for item in self.inputs if item.how != "none"]

    def _row(self, item: PanelInput) -> dict[str, Any]:
        shape = [_size(dimension) if dimension.free else dimension.size for dimension in item.dimensions]
        row: dict[str, Any] = {"name": item.tensor.name, "datatype": item.tensor.datatype, "shape": shape}
        if item.how == "generate":
            low, high = (number(item.values[end]) for end in ("low", "high"))
            return {
                **row,
                "generate": item.values["generate"],
                "low": low,
                "high": high,
                "text_value": item.values["text_value"],
            }
        if item.how == "file":
            return {**row, "file": _file(self.files.get(f"{item.prefix}file"))}
        return {**row, "text": item.values["text"]}

    def add_errors(self, errors: Mapping[str, list[str]]) -> None:
        """Puts the messages of InvalidFields (`inputs.0.data`) at their inputs, and none gets lost."""
        sent = [] if self.protocol == V1 else self.sent
        for path, messages in errors.items():
            parts = path.split(".")
            if parts[0] == "inputs" and len(parts) > 1 and parts[1].isdecimal() and int(parts[1]) < len(sent):
                sent[int(parts[1])].errors += messages
            elif parts[0] == "instances":
                self.v1_errors += messages
            elif parts[0] == "sequence":
                self.sequence_errors += messages
            else:
                self.others += messages


def _sequence(own_id: int | str, data: Mapping[str, str]) -> dict[str, Any]:
    """As `read_step` reads it. A fresh form offers a whole sequence of one request, under an id of its own."""
    number = data.get("sequence_id", str(own_id)).strip()
    flags = {flag: data.get(f"sequence_{flag}") == "on" if data else True for flag in ("start", "end")}
    return {"id": int(number) if number.isdecimal() and len(number) < LONG_NUMBER else number, **flags}


def _values(model: Model, tensor: Tensor, prefix: str, data: Mapping[str, str]) -> dict[str, str]:
    """What each field shows: as it was sent, or what a fresh form offers, which can be sent as it is."""
    defaults = {
        "how": "generate" if tensor in model.needed else "none",
        "text": "",
        "generate": "text" if tensor.datatype == "BYTES" else "random",
        "low": "0",
        "high": "1",
        "text_value": "hello",
        **{f"shape-{i}": "" for i in range(len(tensor.shape))},
    }
    return {name: data.get(prefix + name, default) for name, default in defaults.items()}


def _size(dimension: Dimension) -> Any:
    """-1 when it was left empty; what is no number stays text, and is refused by name."""
    return number(dimension.value.strip()) if dimension.value.strip() else -1


def _file(upload: UploadedFile[bytes] | None) -> dict[str, Any]:
    return {"name": upload.name, "content": upload.read()} if upload is not None else {"name": "", "content": None}
