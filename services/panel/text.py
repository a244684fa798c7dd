"""The test panel's verb for services that generate text: one real request, over the OpenAI API or V2 gRPC.

`prepare` needs the database and the gateway's files; `run` needs neither, so that a stream of any length holds no
connection to the database. `probe` is both, for whoever waits for the whole answer.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

from asgiref.sync import async_to_sync
from pydantic import ValidationError

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
from services.schema.kinds import Flag, Number, OneOf, Whole, Word
from services.schema.stored import adapter
from services.schema.structure import Nested, Rows, messages_of

logger = logging.getLogger(__name__)
ROLES: Final = ("system", "user", "assistant")
MOST_TOKENS: Final = 1 << 20
MOST_MESSAGES: Final = 10_000
HINTS: Final = {
    "context length": "The prompt and max_tokens together must fit the model's context: send less, or ask for less.",
    "max_tokens": "Ask for fewer tokens: see the model's context length.",
}


@dataclass(frozen=True)
class _Message:
    """What else a message may hold is not the panel's to send."""

    role: Annotated[str, OneOf(ROLES)]
    content: Annotated[str, Word(re.compile(r"(?s).+"), "text")]


@dataclass(frozen=True)
class _Payload:
    """What of a payload needs no more than itself to be judged."""

    messages: Annotated[
        tuple[Annotated[_Message, Nested(is_row=True)], ...], Rows(MOST_MESSAGES, '{"role", "content"}')
    ] = ()
    max_tokens: Annotated[int | None, Whole(1, MOST_TOKENS, optional=True)] = None
    temperature: Annotated[float | None, Number(0, 2, optional=True)] = None
    stream: Annotated[bool, Flag()] = False


@dataclass(frozen=True)
class Prepared:
    """All that sending needs."""

    protocol: str
    call: TextCall
    address: Address
    label: str
    """Who asked, for the log."""


class TextResult(calling.Result[Generation]):
    """Whose answer has text."""


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
    task, given = address.task or CHAT, _Payload()
    try:
        given = adapter(_Payload).validate_python(payload)
    except ValidationError as error:
        errors |= messages_of(error)
    model = payload.get("model") or address.service
    if model not in address.models:
        errors["model"] = [f"Must be one of: {', '.join(address.models)}."]
    field = {CHAT: "messages", EMBEDDING: "input"}.get(task, "prompt")
    text = payload.get(field)
    if task == CHAT and not text:
        errors["messages"] = ['Give a list of messages: [{"role": "user", "content": "..."}].']
    elif task != CHAT and not (isinstance(text, str) and text):
        errors[field] = ["Give a text."]
    prompt = {"messages": tuple(map(asdict, given.messages))} if task == CHAT else {"prompt": str(text)}
    stream = given.stream and task != EMBEDDING
    return Ask(task, str(model), **prompt, max_tokens=given.max_tokens, temperature=given.temperature, stream=stream)


def _hint(answer: Generation) -> str:
    text = answer.error.lower()
    if answer.status.startswith(("400", "INVALID")):
        return next((hint for words, hint in HINTS.items() if words in text), "")
    return calling.hint(answer.status, answer.error)
