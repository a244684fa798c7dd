"""The test panel's verb for services that generate text: one real request, over the OpenAI API or V2 gRPC.

`prepare` needs the database and the gateway's files; `run` needs neither, so that a stream of any length holds no
connection to the database. `probe` is both, for whoever waits for the whole answer.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from asgiref.sync import async_to_sync

from console.accounts.principal import Principal
from console.errors import InvalidFields
from services.access.addresses import address_of
from services.access.doors import Address
from services.access.snippets.text import text_snippets
from services.clients.generation import grpc as generation_grpc
from services.clients.generation import openai as generation_openai
from services.clients.generation.call import CHAT, EMBEDDING, Ask, Generation, Piece, TextCall
from services.clients.inference.call import GRPC, OPENAI
from services.models import Service
from services.panel import calling

logger = logging.getLogger(__name__)
ROLES: Final = ("system", "user", "assistant")
MOST_TOKENS: Final = 1 << 20
HINTS: Final = {
    "context length": "The prompt and max_tokens together must fit the model's context: send less, or ask for less.",
    "max_tokens": "Ask for fewer tokens: see the model's context length.",
}


@dataclass(frozen=True)
class Prepared:
    """All that sending needs."""

    protocol: str
    call: TextCall
    address: Address
    label: str
    """Who asked, for the log."""


class TextResult(calling.Result[Generation]):
    """Of text."""


def prepare(
    service: Service, payload: Mapping[str, Any], *, actor: Principal, gateway_host: str | None = None
) -> Prepared:
    """Who may, what is asked, and as whom it is sent.

    `payload`: {"protocol": "openai"|"grpc"}, and by the service's task "messages": [{"role", "content"}] (chat),
    "prompt" (completion) or "input" (embedding); optionally "max_tokens", "temperature", "stream", "model" (the
    service's name, or `<service>:<adapter>`) and "api_key". Raises InvalidFields, Conflict, Unavailable, Forbidden.
    """
    calling.may(service, actor)
    errors: dict[str, list[str]] = {}
    protocol = payload.get("protocol", OPENAI)
    if protocol not in (OPENAI, GRPC):
        errors["protocol"] = [f"Must be {OPENAI} or {GRPC}: this service generates text."]
    key = calling.own_key(payload, errors)
    calling.serving(service)
    ask = _ask(payload, address_of(service, ""), errors)
    if errors:
        raise InvalidFields(errors)
    caller = calling.caller_for(service, key)
    return Prepared(protocol, TextCall(caller, ask), address_of(service, gateway_host or caller.address), actor.label)


async def run(prepared: Prepared) -> AsyncGenerator[Piece | TextResult, None]:
    """Pieces as they come, then one TextResult. Closing it ends the generation. Raises Unavailable."""
    client = generation_grpc if prepared.protocol == GRPC else generation_openai
    async with aclosing(client.generate(prepared.call)) as events:
        async for event in events:
            yield event if isinstance(event, Piece) else finished(prepared, event)


def finished(prepared: Prepared, answer: Generation) -> TextResult:
    ask = prepared.call.ask
    logger.info("%s tested %s over %s: %s", prepared.label, prepared.address.service, prepared.protocol, answer.status)
    hint = "" if answer.ok else _hint(answer)
    return TextResult(prepared.protocol, answer, text_snippets(prepared.address, ask), hint)


def probe(
    service: Service, payload: Mapping[str, Any], *, actor: Principal, gateway_host: str | None = None
) -> TextResult:
    """The whole answer at once; `stream` still decides how it is fetched."""
    prepared = prepare(service, payload, actor=actor, gateway_host=gateway_host)
    return async_to_sync(whole)(prepared)


async def whole(prepared: Prepared) -> TextResult:
    async with aclosing(run(prepared)) as events:
        async for event in events:
            if isinstance(event, TextResult):
                return event
    raise AssertionError("a generation ends with its result")


def _ask(payload: Mapping[str, Any], address: Address, errors: dict[str, list[str]]) -> Ask:
    task = address.task or CHAT
    model = payload.get("model") or address.service
    if model not in address.models:
        errors["model"] = [f"Must be one of: {', '.join(address.models)}."]
    messages: tuple[Mapping[str, Any], ...] = ()
    prompt: Any = ""
    if task == CHAT:
        messages = _messages(payload.get("messages"), errors)
    else:
        field = "input" if task == EMBEDDING else "prompt"
        prompt = payload.get(field)
        if not isinstance(prompt, str) or not prompt:
            errors[field] = ["Give a text."]
    stream = payload.get("stream", False)
    if not isinstance(stream, bool):
        errors["stream"] = ["Must be true or false."]
    return Ask(
        task,
        str(model),
        messages,
        str(prompt),
        _tokens(payload, errors),
        _temperature(payload, errors),
        stream is True and task != EMBEDDING,
    )


def _messages(given: Any, errors: dict[str, list[str]]) -> tuple[Mapping[str, Any], ...]:
    """With `role` and text `content` only: what else a message may hold is not the panel's to send."""
    error = 'Give a list of messages: [{"role": "user", "content": "..."}].'
    if not isinstance(given, list | tuple) or not given:
        errors["messages"] = [error]
        return ()
    messages = []
    for i, row in enumerate(given):
        if not isinstance(row, Mapping) or set(row) != {"role", "content"} or not isinstance(row["content"], str):
            errors[f"messages.{i}"] = ["Must be an object with role and content, both texts."]
        elif row["role"] not in ROLES:
            errors[f"messages.{i}.role"] = [f"Must be one of: {', '.join(ROLES)}."]
        else:
            messages.append({"role": row["role"], "content": row["content"]})
    return tuple(messages)


def _tokens(payload: Mapping[str, Any], errors: dict[str, list[str]]) -> int | None:
    value = payload.get("max_tokens")
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= MOST_TOKENS:
        errors["max_tokens"] = [f"Must be a whole number from 1 to {MOST_TOKENS}."]
        return None
    return value


def _temperature(payload: Mapping[str, Any], errors: dict[str, list[str]]) -> float | None:
    value = payload.get("temperature")
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 2:
        errors["temperature"] = ["Must be a number from 0 to 2."]
        return None
    return float(value)


def _hint(answer: Generation) -> str:
    text = answer.error.lower()
    if answer.status.startswith(("400", "INVALID")):
        return next((hint for words, hint in HINTS.items() if words in text), "")
    return calling.hint(answer.status, answer.error)
