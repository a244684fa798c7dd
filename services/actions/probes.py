"""The test panel's verb: one real inference of a READY service, through the gateway, with a real API key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from console.principal import Principal
from services.clients.inference import Answer
from services.models import Service
from services.snippets import Snippets


@dataclass(frozen=True)
class ProbeResult:
    """An answer of 4xx or 5xx is a result too: see `answer.ok`, `answer.status`, `answer.error`, and `hint`."""

    protocol: str
    answer: Answer
    snippets: Snippets
    hint: str = ""
    """What to do about an error, when the console knows."""

    def to_json(self) -> dict[str, Any]:
        """For the REST API: `{protocol, ok, status, error, hint, outputs, responses, timing, request, response, snippets}`."""
        return {"protocol": self.protocol, "hint": self.hint, **self.answer.to_json(), "snippets": asdict(self.snippets)}


def probe(service: Service, payload: Mapping[str, Any], *, actor: Principal) -> ProbeResult:
    """Send `payload` = {"protocol": "http"|"grpc", "inputs": [{"name", "datatype", "shape", "data"}]} and time it.

    Raises InvalidFields (`inputs.0.data`, ...) for inputs that do not fit the model, Conflict when the service is not
    READY, Unavailable when the gateway is away, Forbidden without the scope infer.
    """
    raise NotImplementedError
