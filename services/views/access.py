"""How a service is called: addresses, which keys open it, and whether one is needed at all."""

from __future__ import annotations

from itertools import islice

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from console.errors import Conflict, ConsoleError, InvalidFields
from console.pages import ROWS
from console.principal import INFER
from services import reading
from services.actions import calling, probes
from services.actions import services as actions
from services.addresses import address_of, task_of
from services.clients.generation import CHAT, EMBEDDING, Ask
from services.clients.inference import Input, Model
from services.clients.inference_values import generate
from services.clients.kserve_v1 import example
from services.doors import TRITON, Address
from services.forms.choices import POLICIES
from services.models import ApiKey, Service
from services.snippets import LABELS, Snippets, snippets
from services.snippets_text import text_snippets
from services.snippets_v1 import v1_snippets
from services.views.shared import find, frame


@require_http_methods(["GET", "HEAD", "POST"])
def access(request: HttpRequest, name: str) -> HttpResponse:
    """POST `policy` changes who may call it; that is a new revision."""
    service, actor = find(request, name)
    errors: list[str] = []
    if request.method == "POST":
        try:
            actions.edit(service, {"auth": {"policy": request.POST.get("policy", "")}}, actor=actor)
        except InvalidFields as error:
            errors = [message for several in error.errors.values() for message in several]
        except Conflict as error:
            errors = [str(error)]
        else:
            messages.success(request, "Saved. No replica is restarted; the gateway is told now.")
            return redirect("service-access", service.name)
    address = address_of(service, reading.gateway_host(request.get_host()))
    keys = keys_that_open(service)
    context = {
        **frame(service, actor, "service-access"), "address": address, "doors": address.doors(),
        "headers": address.headers().items(), "keys": keys[:ROWS], "more_keys": len(keys) > ROWS,
        "snippets": calls(service, address),
        "policies": POLICIES, "errors": errors, "policy": actions.target_of(service).spec["auth"]["policy"],
    }
    return render(request, "services/access.html", context, status=422 if errors else 200)


def keys_that_open(service: Service) -> list[ApiKey]:
    """The first ROWS, and one more where there are more. Anyone who sees the service may know names and ids."""
    rows = ApiKey.objects.live().filter(Q(team=service.team) | Q(all_teams=True)).select_related("team")
    opening = (
        row for row in rows.iterator() if INFER in row.scopes and (not row.services or service.pk in row.service_ids)
    )
    return list(islice(opening, ROWS + 1))


def calls(service: Service, address: Address) -> list[tuple[str, str, str]]:
    """(id, label, text) of one call in several languages. Empty while nothing answers."""
    try:
        revision = calling.serving(service)
        if address.framework == TRITON:
            made: Snippets = _tensor_calls(probes.model_of(service), address)
        else:
            made = text_snippets(address, _example(task_of(revision) or CHAT, address))
    except ConsoleError:
        return []
    return [(f"call-{name}", LABELS.get(name, name), text) for name, text in made.items()]


def _tensor_calls(model: Model, address: Address) -> dict[str, str]:
    """V2 with zeros as inputs; and V1, which carries neither streams nor the ids of sequences."""
    inputs = [Input(t.name, t.datatype, generate("zeros", t.datatype, t.shape)) for t in model.inputs]
    made = dict(snippets(address, inputs, decoupled=model.decoupled, sequence=probes.new_sequence(model)))
    if not model.decoupled and not model.sequences:
        v1 = dict(v1_snippets(address, example(model), model))
        made |= {"curl_v1": v1.pop("curl"), **v1}
    return made


def _example(task: str, address: Address) -> Ask:
    said = "Hello! Who are you?"
    if task == CHAT:
        return Ask(task, address.service, ({"role": "user", "content": said},), max_tokens=64, stream=True)
    if task == EMBEDDING:
        return Ask(task, address.service, prompt=said)
    return Ask(task, address.service, prompt=said, max_tokens=64, stream=True)
