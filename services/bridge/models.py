"""What was learned of each service's model, until the service's revision changes."""

from __future__ import annotations

from dataclasses import dataclass

from services.bridge import tensors
from services.bridge.table import Service, Table
from services.bridge.tensors import Model
from services.bridge.upstream import Call, Upstream


@dataclass
class Known:
    revision: int
    model: Model
    largest_batch: int | None = None
    """Rows in one request, where the model has refused more."""


class Models:
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._known: dict[str, Known] = {}

    async def of(self, service: Service, call: Call) -> Known:
        """Asks the backend the first time. Raises BridgeError."""
        known = self._known.get(service.name)
        if known is None or known.revision != service.revision:
            answer = await self._upstream.get(call, f"/v2/models/{service.name}")
            known = self._known[service.name] = Known(service.revision, tensors.model_of(answer.content))
        return known

    def forget_all_but(self, table: Table) -> None:
        self._known = {name: known for name, known in self._known.items() if name in table.services}
