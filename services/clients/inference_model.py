"""What a running model says of its inputs and outputs, asked of one of its replicas."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from services.clients import kserve_v2
from services.clients.inference import Model


def describe(host: str, http_port: int, model: str, timeout: float = 3.0) -> Model:
    """Two calls: metadata, and the configuration for what metadata leaves out.

    Raises ProbeError when the replica does not answer; `timeout` in seconds for each.
    """
    metadata = kserve_v2.model_metadata(host, http_port, model, timeout)
    config = _config(host, http_port, model, timeout)
    inputs = config.get("input") or []
    return Model(
        name=metadata.name, inputs=metadata.inputs, outputs=metadata.outputs,
        decoupled=bool((config.get("model_transaction_policy") or {}).get("decoupled")),
        optional=frozenset(str(row.get("name")) for row in inputs if row.get("optional")),
    )


def _config(host: str, http_port: int, model: str, timeout: float) -> dict[str, Any]:
    """Triton's extension; a server without it has nothing that it would tell."""
    status, body = kserve_v2.get(host, http_port, f"/v2/models/{quote(model, safe='')}/config", timeout)
    try:
        config = json.loads(body) if status == 200 else {}
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}
