"""What a caller may use, as `GET /v1/models` lists it, and one of them. Pure: the table and the caller's grants go in.

Each object is read by OpenAI's clients (`id`, `object`, `created`, `owned_by`) and by KServe V1's (`name`, `ready`).
"""

from __future__ import annotations

from typing import Any

from services import grants
from services.bridge.table import Service, Table

Json = dict[str, Any]
OWNER = "inference-console"


def may_use(caller: str, service: Service) -> bool:
    """`caller` is the name of the key's credential (services/grants.py)."""
    return service.public or any(grant in caller for grant in grants.opening(service.team, service.uid))


def listing(table: Table, caller: str) -> Json:
    """One body for both: `data` is OpenAI's, `models` is KServe V1's."""
    usable = [service for name, service in sorted(table.services.items()) if may_use(caller, service)]
    objects = [entry for service in usable for entry in _entries(service)]
    return {"object": "list", "data": objects, "models": [entry["id"] for entry in objects]}


def one(table: Table, caller: str, name: str) -> Json | None:
    """None when there is no such model, or not for this caller: the two are not told apart."""
    service = table.services.get(name.partition(":")[0])
    if service is None or not may_use(caller, service):
        return None
    return next((entry for entry in _entries(service) if entry["id"] == name), None)


def _entries(service: Service) -> list[Json]:
    """The service itself, then `<service>:<adapter>` for each of its adapters."""
    return [_entry(service, service.name), *(_entry(service, f"{service.name}:{name}") for name in service.adapters)]


def _entry(service: Service, name: str) -> Json:
    entry: Json = {
        "id": name,
        "object": "model",
        "created": service.created,
        "owned_by": OWNER,
        "name": name,
        "ready": service.ready,
    }
    if service.task:
        entry["task"] = service.task
    if service.max_model_len is not None:
        entry["max_model_len"] = service.max_model_len
    if name != service.name:
        entry["parent"] = service.name
    return entry
