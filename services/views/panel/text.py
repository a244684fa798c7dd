"""The test panel of a service that generates text: the answer is shown while it is generated.

The stream goes as server-sent events: `text` with {"text", "at_ms"}, `result` with the HTML of all that is known at the
end, `problem` with that of why nothing was sent. Without JavaScript the form gets the whole answer as a page.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_POST

from console.accounts.principal import Principal
from console.errors import Conflict, ConsoleError, InvalidFields, Unavailable
from services.access.addresses import address_of, answer_tokens
from services.access.doors import TRITON
from services.access.snippets.v2 import LABELS
from services.clients.generation.call import total
from services.errors import GatewayError
from services.models import Service
from services.panel import text as panel_text
from services.panel.text import Prepared, TextResult
from services.queries import service_status
from services.views.panel.text_form import USUAL_TOKENS, TextForm
from services.views.shared import find, frame

RESULT: Final = "services/panel/_text_result.html"
STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def text_form(service: Service, request: HttpRequest) -> TextForm:
    host = service_status.gateway_host(request.get_host())
    revision = service.serving or service.target
    usual = answer_tokens(revision, USUAL_TOKENS) if revision else USUAL_TOKENS
    return TextForm(address_of(service, host), request.POST.dict(), max_tokens=usual)


def is_text(service: Service) -> bool:
    """It generates text, or embeds it, instead of taking tensors."""
    return address_of(service, "").framework != TRITON


def send_text(request: HttpRequest, service: Service, actor: Principal) -> HttpResponse:
    """The whole answer as a page."""
    form = text_form(service, request)
    context: dict[str, Any] = {**frame(service, actor, "service-test"), "sent": True, "text_form": form}
    status = 200
    try:
        result = panel_text.probe(service, form.payload(), actor=actor, gateway_host=form.address.host)
        context |= shown(result)
    except InvalidFields as error:
        form.add_errors(error.errors)
        status = 422
    except (Conflict, Unavailable, GatewayError) as error:
        context["problem"], status = error, error.status
    return render(request, "services/panel/test.html", context, status=status)


@require_POST
async def stream(request: HttpRequest, name: str) -> HttpResponse | StreamingHttpResponse:
    """The answer while it is generated; when the reader goes away, so does the request to the model."""
    prepared = await sync_to_async(_prepare)(request, name)
    if isinstance(prepared, HttpResponse):
        return prepared
    return StreamingHttpResponse(_events(prepared), content_type="text/event-stream", headers=STREAM_HEADERS)


def _prepare(request: HttpRequest, name: str) -> Prepared | HttpResponse:
    """All that needs the database; after it the stream holds no connection, however long it takes."""
    try:
        service, actor = find(request, name)
        form = text_form(service, request)
        try:
            return panel_text.prepare(service, form.payload(), actor=actor, gateway_host=form.address.host)
        except InvalidFields as error:
            form.add_errors(error.errors)
            return render(request, RESULT, {"text_form": form, "sent": True}, status=422)
        except (Conflict, Unavailable, GatewayError) as error:
            return render(request, RESULT, {"text_form": form, "problem": error}, status=422)
    finally:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()


async def _events(prepared: Prepared) -> AsyncIterator[bytes]:
    try:
        async with aclosing(panel_text.run(prepared)) as events:
            async for event in events:
                if isinstance(event, TextResult):
                    yield _event("result", {"html": render_to_string(RESULT, shown(event))})
                elif event.text:
                    yield _event("text", {"text": event.text, "at_ms": round(event.at_ms, 1)})
    except ConsoleError as error:
        yield _event("problem", {"html": render_to_string(RESULT, {"problem": error})})


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def shown(result: TextResult) -> dict[str, Any]:
    """The context of _text_result.html. No database: it is rendered when the stream has ended."""
    answer = result.answer
    return {
        "result": result,
        "answer": answer,
        "tokens": total(answer.usage),
        "public": "API_KEY" not in str(result.snippets),
        "snippets": [(f"snippet-{id}", LABELS[id], text) for id, text in result.snippets.items()],
        "request_text": headers_text(answer.request.headers),
        "response_text": headers_text(answer.response.headers),
        "vectors": [(output, json.dumps(output.values)) for output in answer.outputs],
    }


def headers_text(headers: Any) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())
