"""What lies at a model path, as the form shows it: the folder's entries, what it is, and what the framework reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from console.accounts.principal import Principal
from console.errors import ConsoleError
from datasets.models import Dataset
from datasets.queries import browsing
from datasets.queries.browsing import Listing
from datasets.queries.peek import Peeks
from services import wiring
from services.actions import checks
from services.control.code_trust import Origin, refusal
from services.forms import vllm
from services.forms.state import ServiceForm, make_row
from services.forms.triton import TENSORS, tensor_rows
from services.forms.typed import CONFIG, flat, plain, short
from services.specs import ModelDescription, Tensor

ENTRIES = 200
FITTING: Final = {
    "huggingface": "vllm",
    "triton_model": "triton",
    "triton_repository": "triton",
    "onnx": "triton",
}
"""What a folder was recognised as -> the framework that serves it."""


@dataclass(frozen=True)
class Model:
    """`error`: why there is nothing to show. `description`: of the files alone; None when they cannot be read here."""

    dataset: str = ""
    path: str = ""
    error: str = ""
    listing: Listing | None = None
    description: ModelDescription | None = None
    problems: tuple[str, ...] = ()
    """What would stop a launch with what the form says now."""
    framework: str = ""
    """The one that read the files."""
    untrusted: str = ""
    """Why code in the files keeps a service from starting, and what to do."""

    @property
    def better_framework(self) -> str:
        """The one that such files are for, when it is another."""
        fits = FITTING.get(self.listing.recognised.kind, "") if self.listing else ""
        return fits if fits != self.framework else ""

    chosen: str = ""
    """The model of a repository that callers are to call; "" leaves that to the files."""

    @property
    def options(self) -> list[tuple[str, str]]:
        """The models of a repository that there is a choice between, for a select; none of any other folder."""
        models = self.listing.recognised.models if self.listing else ()
        several = self.listing is not None and self.listing.recognised.kind == "triton_repository" and len(models) > 1
        names = list(dict.fromkeys([*models, *filter(None, [self.chosen])])) if several or self.chosen else []
        return [("", "Its only ensemble"), *((name, name) for name in names)] if names else []

    def read(self, name: str) -> str:
        """The rows of `inputs` or `outputs` as JSON, for the page to send along."""
        return json.dumps(tensors_json(getattr(self.description, name) if self.description else ()))

    @property
    def inputs_read(self) -> str:
        return self.read("inputs")

    @property
    def outputs_read(self) -> str:
        return self.read("outputs")


def inspect(
    actor: Principal,
    dataset: str,
    path: str,
    framework: str,
    config: Mapping[str, Any] | None = None,
    peeks: Peeks | None = None,
) -> Model:
    """Never raises for what a person chose: a wrong path is `error`. `config`: framework_config, if it is valid.

    `peeks`: what the request has read already.
    """
    if not dataset:
        return Model()
    row = Dataset.objects.visible_to(actor).filter(name=dataset).select_related("team").first()
    if row is None:
        return Model(dataset, path, error=f"Dataset {dataset} does not exist, or you have no access to it.")
    chosen = str((config or {}).get("model", "")) if framework == "triton" else ""
    with Peeks.shared(peeks) as opened:
        try:
            listing = browsing.browse(row, path, limit=ENTRIES)
            read = partial(checks.describe, row, listing.path, framework, peeks=opened)
            description = read({"model": chosen} if chosen else {})
        except ConsoleError as error:
            return Model(dataset, path, error=str(error))
        overlaid = description
        if description is not None and config:
            with suppress(ConsoleError):
                overlaid = read(wiring.framework(framework).parse_config(config))
    problems = overlaid.problems if overlaid else ()
    origin = Origin(row, row.location, listing.path)
    untrusted = refusal(origin, description.executable) if description else ""
    return Model(dataset, listing.path, "", listing, description, problems, framework, untrusted, chosen)


def fitting(actor: Principal, dataset: str, path: str) -> str:
    """The framework that serves what lies there; "" when that cannot be told, or it is not installed."""
    row = Dataset.objects.visible_to(actor).filter(name=dataset).first()
    try:
        name = FITTING.get(browsing.browse(row, path, limit=1).recognised.kind, "") if row else ""
    except ConsoleError:
        return ""
    return "" if name and wiring.framework(name).missing(wiring.runtime(name)) else name


def fill(form: ServiceForm, model: Model) -> ServiceForm:
    """Show what was read from the model where the person has not said something else."""
    if model.description is None:
        return form
    for name in TENSORS:
        if not form.rows[flat(name)]:
            read = tensor_rows(tensors_json(getattr(model.description, short(name))))
            form.rows[flat(name)] = [make_row(name, row) for row in read]
    for name in vllm.READ:
        field, described = form.fields[flat(f"{CONFIG}.{name}")], plain(getattr(model.description, name))
        if not field.value and described:
            field.value = field.read = described
    return form


def tensors_json(tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
    """As the API and `to_payload` spell them."""
    return [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in tensors]
