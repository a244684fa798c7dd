"""The test panel: a form made from the model's metadata, one real request through the gateway, and what came back."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from console.errors import Conflict, InvalidFields, Unavailable
from console.web.pages import wants_fragment
from services.access.snippets.v2 import LABELS
from services.clients.inference.call import Answer, Output, Response
from services.errors import GatewayError
from services.gateway.envoy import wire
from services.panel import calling
from services.panel import tensors as panel_tensors
from services.queries import service_status
from services.views.panel.tensors_form import PanelForm
from services.views.panel.text import headers_text, is_text, send_text, text_form
from services.views.shared import find, frame

STEPS: Final = (
    ("build", "Build the request"),
    ("connect", "Connect"),
    ("wait", "Send and wait"),
    ("decode", "Read the answer"),
)
SHOWN_RESPONSES: Final = 100


@require_safe
def test(request: HttpRequest, name: str) -> HttpResponse:
    """The panel of a READY service; of any other, why it cannot be tested now, asked again until it can."""
    service, actor = find(request, name)
    context = frame(service, actor, "service-test")
    try:
        if is_text(service):
            calling.serving(service)
            context["text_form"] = text_form(service, request)
        else:
            context["form"] = PanelForm(panel_tensors.model_of(service), {})
    except (Conflict, Unavailable) as error:
        context["problem"] = error
    if not wants_fragment(request):
        return render(request, "services/panel/test.html", context)
    if "problem" not in context:
        return HttpResponse(headers={"HX-Refresh": "true"})  # the waiting is over: the page becomes the panel
    return render(request, "services/panel/_waiting.html", context)


@require_POST
def send(request: HttpRequest, name: str) -> HttpResponse:
    """One test request. By htmx: the result, and the messages of each input out of band; else the whole page."""
    service, actor = find(request, name)
    if is_text(service):
        return send_text(request, service, actor)
    context: dict[str, Any] = {**frame(service, actor, "service-test"), "sent": True}
    status = 200
    try:
        form = context["form"] = PanelForm(panel_tensors.model_of(service), request.POST.dict(), request.FILES.dict())
        host = service_status.gateway_host(request.get_host())
        result = panel_tensors.probe(service, form.payload(), actor=actor, gateway_host=host)
        assert isinstance(result, panel_tensors.ProbeResult)
        context |= {**_shown(result), "public": panel_tensors.is_public(service)}
    except InvalidFields as error:
        form.add_errors(error.errors)
        status = 422
    except (Conflict, Unavailable, GatewayError) as error:
        # 422 is what htmx puts where the result belongs; other errors go to the top of the page.
        context["problem"], status = error, 422 if wants_fragment(request) else error.status
    template = "_result.html" if wants_fragment(request) else "test.html"
    return render(request, f"services/panel/{template}", context, status=status)


@require_safe
def protoset(request: HttpRequest) -> HttpResponse:
    """The V2 protocol as a FileDescriptorSet, for grpcurl: the gateway does not tell it by reflection."""
    content = wire.protocol().SerializeToString(deterministic=True)
    response = HttpResponse(content, content_type="application/octet-stream")
    response["Content-Disposition"] = 'attachment; filename="inference.protoset"'
    return response


def _shown(result: panel_tensors.ProbeResult) -> dict[str, Any]:
    answer = result.answer
    return {
        "result": result,
        "answer": answer,
        "steps": _steps(answer),
        "streamed": len(answer.responses) > 1,
        "responses": [_response(response) for response in answer.responses[:SHOWN_RESPONSES]],
        "more_responses": max(0, len(answer.responses) - SHOWN_RESPONSES),
        "snippets": [(f"snippet-{id}", LABELS[id], text) for id, text in result.snippets.items()],
        "request_text": headers_text(answer.request.headers),
        "response_text": headers_text(answer.response.headers),
    }


def _steps(answer: Answer) -> list[tuple[str, float, int]]:
    """(label, milliseconds, percent of the whole)."""
    times = [(label, float(getattr(answer.timing, f"{step}_ms"))) for step, label in STEPS]
    total = answer.timing.total_ms or 1.0
    return [(label, spent, round(100 * spent / total)) for label, spent in times]


def _response(response: Response) -> dict[str, Any]:
    rows = [(output, _values(output)) for output in response.outputs]
    return {"at_ms": response.at_ms, "error": response.error, "rows": rows}


def _values(output: Output) -> str:
    """The values as JSON, in the tensor's shape when all of them are there."""
    if output.datatype == "JSON":  # of V1: each row is JSON already, unless it is a scalar
        rows = [value if isinstance(value, str) and value[:1] in "[{" else json.dumps(value) for value in output.values]
        return "\n".join([*rows, "…"] if output.truncated else rows)
    if output.truncated:
        return json.dumps(output.values, ensure_ascii=False)[:-1] + ", …]"
    nested = np.array(output.values, dtype=object).reshape(output.shape).tolist()
    return json.dumps(nested, ensure_ascii=False)
