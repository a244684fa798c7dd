"""How one service of the database is called: its Address, from the revision that serves and the settings."""

from __future__ import annotations

from django.conf import settings

from services.access.doors import Address
from services.models import Revision, Service


def address_of(service: Service, host: str) -> Address:
    """`host`: the gateway's host:port as the caller reaches it."""
    revision = service.serving or service.target
    domain, tls = settings.GATEWAY_DOMAIN, bool(settings.GATEWAY_TLS_CERTIFICATE)
    if revision is None:
        return Address(service.name, host, domain=domain, tls=tls)
    spec = revision.parsed()
    access = service.target.parsed() if service.target else spec  # holds at once, see services/control/snapshot.py
    modules = spec.framework_config.get("lora_modules") or ()
    return Address(
        service.name,
        host,
        framework=spec.framework,
        task=task_of(revision),
        public=access.auth.policy == "public",
        key_header=access.auth.header,
        parameters=tuple((row.name, row.value) for row in access.auth.parameters),
        adapters=tuple(str(module["name"]) for module in modules),
        domain=domain,
        tls=tls,
    )


def answer_tokens(revision: Revision, usual: int) -> int:
    """Tokens to ask a language model for: the usual number, or half of a shorter context, which the prompt shares."""
    configured = revision.spec.get("framework_config", {}).get("max_model_len")
    longest = configured or (revision.described or {}).get("max_model_len")
    return min(usual, max(1, int(longest) // 2)) if longest else usual


def task_of(revision: Revision) -> str:
    """chat, completion or embedding of a vLLM service; "" for another, or while nothing has read its files yet."""
    if task := revision.spec.get("framework_config", {}).get("task"):
        return str(task)
    return str((revision.described or {}).get("task", ""))
