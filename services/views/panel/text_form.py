"""The test panel's form for services that generate text: what it shows, and what was filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.access.doors import Address
from services.clients.generation.call import CHAT, EMBEDDING
from services.clients.inference.call import GRPC, OPENAI
from services.forms.typed import number

PROTOCOLS: Final = ((OPENAI, "OpenAI"), (GRPC, "gRPC (V2 text)"))
EXAMPLE: Final = "Hello! Who are you?"
USUAL_TOKENS: Final = 128
FIELDS: Final = {
    "messages": "user",
    "prompt": "user",
    "input": "user",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "model": "model",
    "api_key": "api_key",
}
"""First part of a field of the payload -> the form's field."""


class TextForm:
    """`data` are the fields of a POST, {} for a fresh form, which can be sent as it is. `max_tokens`: what that asks
    for."""

    def __init__(self, address: Address, data: Mapping[str, str], *, max_tokens: int = USUAL_TOKENS) -> None:
        self.address = address
        self.task = address.task or CHAT
        self.protocols = PROTOCOLS
        self.protocol = data.get("protocol") or OPENAI
        self.models = [(model, model) for model in address.models]
        self.model = data.get("model") or address.service
        self.system = data.get("system", "")
        self.user = data.get("user", "" if data else EXAMPLE)
        self.max_tokens = data.get("max_tokens", str(max_tokens))
        self.temperature = data.get("temperature", "0")
        self.stream = data.get("stream") == "on" if data else True
        self.api_key = (data.get("api_key") or "").strip()
        self.errors: dict[str, list[str]] = {}
        self.others: list[str] = []
        """What is wrong and belongs to no field."""

    @property
    def user_label(self) -> str:
        return {CHAT: "Message", EMBEDDING: "Text"}.get(self.task, "Prompt")

    @property
    def generates(self) -> bool:
        return self.task != EMBEDDING

    def payload(self) -> dict[str, Any]:
        """For panel.text.prepare."""
        payload: dict[str, Any] = {"protocol": self.protocol, "model": self.model, "api_key": self.api_key}
        if self.task == CHAT:
            system = [{"role": "system", "content": self.system}] if self.system.strip() else []
            user = [{"role": "user", "content": self.user}] if self.user.strip() else []
            payload["messages"] = [*system, *user] if user else []
        else:
            payload["input" if self.task == EMBEDDING else "prompt"] = self.user
        if self.generates:
            limits = {"max_tokens": self.max_tokens.strip(), "temperature": self.temperature.strip()}
            payload |= {name: number(text) for name, text in limits.items() if text}
            payload["stream"] = self.stream
        return payload

    def add_errors(self, errors: Mapping[str, list[str]]) -> None:
        """Puts the messages of InvalidFields at their fields, and none gets lost."""
        for path, messages in errors.items():
            field = FIELDS.get(path.split(".")[0])
            if field == "user" and self.task == CHAT:
                messages = ["Write a message."]
            if field is None or (field == "model" and len(self.models) == 1):  # which has no field then
                self.others += messages
            else:
                self.errors.setdefault(field, []).extend(messages)
