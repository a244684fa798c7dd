"""How a service is called: addresses, which keys open it, and whether one is needed at all."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from console.errors import Conflict, ConsoleError, InvalidFields
from console.principal import INFER
from services import reading
from services.actions import probes
from services.actions import services as actions
from services.clients.inference import Input
from services.clients.inference_values import generate
from services.forms.choices import POLICIES
from services.models import ApiKey, Service
from services.snippets import snippets
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
            messages.success(request, "Who may call it is being changed.")
            return redirect("service-access", service.name)
    host = reading.gateway_host(request.get_host())
    context = {
        **frame(service, actor, "service-access"), "endpoints": reading.endpoints(service, host), "host": host,
        "keys": keys_that_open(service), "snippets": calls(service, host), "policies": POLICIES,
        "errors": errors, "policy": actions.target_of(service).spec["auth"]["policy"],
    }
    return render(request, "services/access.html", context, status=422 if errors else 200)


def keys_that_open(service: Service) -> list[ApiKey]:
    """Names and ids only; who sees the service may know which of the team's keys call it."""
    rows = ApiKey.objects.live().filter(Q(team=service.team) | Q(all_teams=True)).select_related("team")
    return [row for row in rows if INFER in row.scopes and (not row.services or service.name in row.services)]


def calls(service: Service, host: str) -> list[tuple[str, str, str]]:
    """(id, label, text) of one call in several languages, with zeros as inputs. Empty while nothing answers."""
    try:
        model = probes.model_of(service)
        inputs = [Input(t.name, t.datatype, generate("zeros", t.datatype, t.shape)) for t in model.inputs]
    except ConsoleError:
        return []
    made = snippets(
        service.name, inputs, http_url=f"http://{host}", grpc_target=host, decoupled=model.decoupled,
        authorized=not probes.is_public(service),
    )
    return [
        ("call-curl", "curl", made.curl), ("call-http", "Python, HTTP", made.python_http),
        ("call-grpc", "Python, gRPC", made.python_grpc), ("call-grpcurl", "grpcurl", made.grpcurl),
    ]
