"""How a service is called: addresses, which keys open it, and whether one is needed at all."""

from __future__ import annotations

from itertools import islice
from typing import Final

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from console.accounts.principal import INFER
from console.errors import Conflict, ConsoleError, InvalidFields
from console.web.pages import ROWS
from services.access.addresses import address_of, answer_tokens, task_of
from services.access.doors import TRITON, Address, Door, refusal
from services.access.snippets.text import text_snippets
from services.access.snippets.v1 import v1_snippets
from services.access.snippets.v2 import LABELS, Snippets, snippets
from services.actions import services as actions
from services.clients.generation.call import CHAT, EMBEDDING, Ask
from services.clients.inference.call import Input, Model
from services.clients.inference.inputs import read_step
from services.clients.inference.kserve_v1 import example, fits_v1
from services.clients.inference.values import BadValues, bytes_per_value, generate
from services.forms.choices import POLICIES
from services.models import ApiKey, Revision, Service
from services.panel import calling
from services.panel import tensors as panel_tensors
from services.queries import service_status
from services.views.panel.text_form import EXAMPLE
from services.views.shared import find, frame

EXAMPLE_TOKENS: Final = 64
NOT_YET: Final = "Examples appear once the service answers: they are built from the model's inputs."
TOO_LARGE: Final = (
    "One request of this model has {:.1f} MiB, and the gateway takes {} MiB: raise the limit of the service, or have "
    "an administrator raise MAX_PAYLOAD_MIB."
)


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
    address = address_of(service, service_status.gateway_host(request.get_host()))
    keys, spec = keys_that_open(service), service.target_revision.parsed()
    model, snippets, reason = calls(service, address)
    context = {
        **frame(service, actor, "service-access"),
        "address": address,
        "doors": doors_of(address, model),
        "headers": address.headers().items(),
        "keys": keys[:ROWS],
        "more_keys": len(keys) > ROWS,
        "snippets": snippets,
        "reason": reason,
        "policies": POLICIES,
        "errors": errors,
        "policy": spec.auth.policy,
        "origins": spec.cors.allowed_origins,
    }
    return render(request, "services/access.html", context, status=422 if errors else 200)


def keys_that_open(service: Service) -> list[ApiKey]:
    """The first ROWS, and one more where there are more. Anyone who sees the service may know names and ids."""
    rows = ApiKey.objects.live().filter(Q(team=service.team) | Q(all_teams=True)).select_related("team")
    opening = (
        row for row in rows.iterator() if INFER in row.scopes and (not row.services or service.pk in row.service_ids)
    )
    return list(islice(opening, ROWS + 1))


def doors_of(address: Address, model: Model | None) -> list[tuple[Door, str]]:
    """Each door, and why the model cannot answer there."""
    if model is None:
        return [(door, "") for door in address.doors()]
    kind = {"decoupled": model.decoupled, "sequences": model.sequences}
    return [(door, refusal(door.door, **kind)) for door in address.doors()]


def calls(service: Service, address: Address) -> tuple[Model | None, list[tuple[str, str, str]], str]:
    """The model of a Triton service; (id, label, text) of one call in several languages; why there is no model."""
    model = None
    try:
        revision = calling.serving(service)
        if address.framework == TRITON:
            model = panel_tensors.model_of(service)
            texts: Snippets = _tensor_calls(model, address, most=_largest_request(revision))
        else:
            ask = _example(task_of(revision) or CHAT, address, max_tokens=answer_tokens(revision, EXAMPLE_TOKENS))
            texts = text_snippets(address, ask)
    except BadValues as error:
        return model, [], error.message
    except ConsoleError:
        return model, [], NOT_YET
    return model, [(f"call-{name}", LABELS.get(name, name), text) for name, text in texts.items()], ""


def _largest_request(revision: Revision) -> int:
    """Bytes that the gateway takes."""
    own = revision.parsed().limits.max_payload_mib
    return min(own << 20, settings.MAX_PAYLOAD_BYTES) if own else settings.MAX_PAYLOAD_BYTES


def _tensor_calls(model: Model, address: Address, *, most: int) -> Snippets:
    """V2 with zeros as inputs, and V1. Raises BadValues when a request would have more than `most` bytes."""
    inputs = [Input(t.name, t.datatype, generate("zeros", t.datatype, t.shape)) for t in model.needed]
    size = sum(bytes_per_value(item.datatype) * item.values.size for item in inputs)
    if size > most:
        raise BadValues("shape", TOO_LARGE.format(size / (1 << 20), most >> 20))
    step = read_step(None, model)
    texts = dict(snippets(address, inputs, decoupled=model.decoupled, outputs=model.outputs, step=step))
    if not refusal("v1", decoupled=model.decoupled, sequences=model.sequences):
        v1 = dict(v1_snippets(address, example(model), model))
        texts |= {"curl_v1": v1.pop("curl"), **v1}
        if not fits_v1(model, most):
            texts = {name: text for name, text in texts.items() if not name.endswith("_v1")}
    return texts


def _example(task: str, address: Address, *, max_tokens: int) -> Ask:
    if task == CHAT:
        return Ask(task, address.service, ({"role": "user", "content": EXAMPLE},), max_tokens=max_tokens, stream=True)
    if task == EMBEDDING:
        return Ask(task, address.service, prompt=EXAMPLE)
    return Ask(task, address.service, prompt=EXAMPLE, max_tokens=max_tokens, stream=True)
