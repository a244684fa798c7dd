"""What was learned of each service's model, until the service's revision changes."""

from __future__ import annotations

import json
from collections.abc import Set
from dataclasses import dataclass

from services.bridge.errors import BridgeError, Kind
from services.bridge.table import Service, Table
from services.bridge.upstream import Call, Upstream
from services.bridge.values import tensors
from services.bridge.values.tensors import Model
from services.clients.probes import required_inputs


@dataclass
class ModelFacts:
    revision: int
    model: Model
    largest_batch: int | None = None
    """Rows in one request, where the model has refused more."""
    optional: frozenset[str] | None = None
    """Inputs that may be left out; None until a caller leaves one out."""
    whole: Set[str] | None = None
    """Outputs without a row for each row of the inputs; None until rows were sent."""


class Models:
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._facts: dict[str, ModelFacts] = {}

    async def of(self, service: Service, call: Call) -> ModelFacts:
        """Asks the backend the first time. Raises BridgeError."""
        facts = self._facts.get(service.name)
        if facts is None or facts.revision != service.revision:
            answer = await self._upstream.get(call, f"/v2/models/{service.name}")
            facts = self._facts[service.name] = ModelFacts(service.revision, tensors.model_of(answer.content))
        return facts

    async def optional(self, facts: ModelFacts, call: Call) -> frozenset[str]:
        """Asks the backend the first time; where it does not tell, all are optional to us. Raises BridgeError."""
        if facts.optional is None:
            facts.optional = await self._ask_optional(facts.model, call)
        return facts.optional

    async def _ask_optional(self, model: Model, call: Call) -> frozenset[str]:
        body = json.dumps(required_inputs.excess(model.inputs)).encode()
        try:
            await self._upstream.post(call, f"/v2/models/{call.service}/infer", body, tensors.JSON)
        except BridgeError as error:
            if error.kind is not Kind.INVALID:
                raise
            optional = required_inputs.optional_in(error.message, model.inputs)
            if optional is not None:
                return optional
        return frozenset(tensor.name for tensor in model.inputs)

    def forget_all_but(self, table: Table) -> None:
        self._facts = {name: facts for name, facts in self._facts.items() if name in table.services}
