"""The form that makes a service or changes one, and the fragments that help to fill it in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console import roles
from console.accounts.principal import Principal
from console.errors import Conflict, Forbidden, InvalidFields
from console.web.pages import actor_of
from datasets.models import Dataset
from datasets.queries.peek import Peeks
from services import forms
from services.actions import checks, forecasts
from services.actions import services as actions
from services.control.queues import claims
from services.forms.choices import choices, teams_of
from services.forms.model import fill, fitting, inspect
from services.forms.names import COLUMNS, FRAMEWORKS, label
from services.forms.state import ServiceForm, make_row
from services.forms.triton import MODEL
from services.forms.typed import flat, number, short
from services.models import Service
from services.parsing import parse_replicas, parse_spec
from services.views.shared import find


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """GET `dataset`, `path` and `framework` choose the model already."""
    actor = actor_of(request)
    if not teams_of(actor):
        raise Forbidden("You may not create services in any team.", hint="Ask an owner of a team for the role editor.")
    if request.method != "POST":
        return _page(request, actor, _first_form(request, actor))
    form = forms.from_post(request.POST)
    team = next((team for team in teams_of(actor) if team.name == request.POST.get("team")), None)
    if team is None:
        return _page(request, actor, form.add_errors({"team": ["Choose a team in which you may create services."]}))
    payload = forms.to_payload(request.POST)
    with Peeks() as peeks:
        try:
            service = actions.create(payload, team=team, actor=actor, peeks=peeks)
        except InvalidFields as error:
            config = payload["framework_config"]
            return _page(request, actor, form.add_errors(error.errors), config=config, peeks=peeks)
    messages.success(request, f"{service.name} was created. Its model files are prepared first.")
    return redirect("service", service.name)


def _first_form(request: HttpRequest, actor: Principal) -> ServiceForm:
    dataset = request.GET.get("dataset", "")
    chosen = Dataset.objects.visible_to(actor).filter(name=dataset).select_related("team").first()
    teams = [team.name for team in teams_of(actor)]
    team = chosen.team.name if chosen and chosen.team.name in teams else teams[0]
    path = request.GET.get("path", "")
    framework = _framework({"framework": request.GET.get("framework") or fitting(actor, dataset, path)})
    return forms.blank(team=team, dataset=dataset, model_path=path, framework=framework)


def _framework(query: Mapping[str, str]) -> str:
    name = query.get("framework", "")
    return name if name in FRAMEWORKS else "triton"


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """The same form for a service that there is; what it saves becomes a new revision.

    POST `revision`: the one that the form was opened with. When another was saved since, nothing is changed.
    """
    service, actor = find(request, name)
    actor.require(service.team, roles.EDITOR)
    if request.method != "POST":
        target = service.target_revision
        spec = target.parsed().to_json()
        form = forms.from_spec(name, service.team.name, service.replicas, spec)
        return _page(request, actor, form, service, spec["framework_config"], base=target.number)
    payload = {key: value for key, value in forms.to_payload(request.POST).items() if key != "name"}
    if payload["replicas"] == number(request.POST.get("replicas.was", "")):
        del payload["replicas"]  # not changed here, and perhaps scaled by somebody else since
    if "strategy" in request.POST:  # there is no room for both revisions, so the form asked
        payload["strategy"] = request.POST["strategy"]
    form = forms.from_post(request.POST)
    form.fields["name"].value, form.fields["team"].value = service.name, service.team.name
    config, before = payload["framework_config"], (service.target_revision.number, service.replicas)
    base = number(request.POST.get("revision", ""))
    base = base if isinstance(base, int) else before[0]
    with Peeks() as peeks:
        try:
            actions.edit(service, payload, actor=actor, base=base, peeks=peeks)
        except InvalidFields as error:
            return _page(request, actor, form.add_errors(error.errors), service, config, base, peeks)
        except Conflict as error:
            form.others.append(str(error))
            return _page(request, actor, form, service, config, base, peeks)
    messages.success(request, _saved(service, before))
    return redirect("service", service.name)


def _chosen(query: Mapping[str, str]) -> dict[str, str]:
    """Which model of a repository is chosen, as framework_config has it."""
    name = query.get(MODEL, "")
    return {short(MODEL): name} if name else {}


def _saved(service: Service, before: tuple[int, int]) -> str:
    target = service.target_revision
    after = target.number, service.replicas
    if after == before:
        return "Nothing was changed, so there is no new revision."
    if target.launch and after[0] != before[0]:
        return f"Saved as revision {target.number}. No replica is restarted."
    return f"Revision {after[0]} is being rolled out." if after[0] != before[0] else f"Scaled to {after[1]} replicas."


def _page(
    request: HttpRequest,
    actor: Principal,
    form: ServiceForm,
    service: Service | None = None,
    config: Mapping[str, Any] | None = None,
    base: int | None = None,
    peeks: Peeks | None = None,
) -> HttpResponse:
    dataset, path, framework = (form.fields[name].value for name in ("dataset", "model_path", "framework"))
    inspection = inspect(actor, dataset, path, framework, config, peeks)
    context: dict[str, Any] = {
        "form": fill(form, inspection),
        "model": inspection,
        "choices": choices(actor),
        "service": service,
        "revision": base,
        "replicas_were": request.POST.get("replicas.was", service.replicas if service else ""),
        "crumbs": [("Services", reverse("services"))],
        **empty_rows(),
    }
    if service is not None:
        context["crumbs"].append((service.name, reverse("service", args=[service.name])))
    return render(request, "services/form/page.html", context, status=422 if form.has_errors else 200)


def _forecast(request: HttpRequest, payload: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    """Raises InvalidFields while something else in the form is wrong."""
    if not (name := request.POST.get("service")):
        return {}
    service, actor = find(request, name)
    actor.require(service.team, roles.EDITOR)
    forecast = forecasts.of_edit(service, parse_spec(payload), replicas)
    return {"service": service, "forecast": forecast, "strategy": request.POST.get("strategy", "")}


def empty_rows() -> dict[str, Any]:
    """`empty`: the row that "Add" adds, by list."""
    return {"empty": {flat(name): make_row(name) for name in COLUMNS}}


@require_GET
def check_name(request: HttpRequest) -> HttpResponse:
    """One sentence on whether the name can be had, while it is typed."""
    name, problem = request.GET.get("name", "").strip(), ""
    try:
        checks.check_name(name)
    except InvalidFields as error:
        problem = error.text
    return render(request, "services/form/_name.html", {"name": name, "problem": problem})


@require_GET
def browse(request: HttpRequest) -> HttpResponse:
    """The part of the form that chooses the model, one folder further; and what that folder is."""
    actor, query = actor_of(request), request.GET
    dataset, path = query.get("dataset", ""), query.get("path", query.get("model_path", ""))
    form = forms.blank(dataset=dataset, model_path=path)
    inspection = inspect(actor, dataset, path, _framework(query), _chosen(query))
    context = {
        "form": fill(form, inspection),
        "model": inspection,
        "choices": choices(actor),
        "with_model": True,
        **empty_rows(),
    }
    return render(request, "services/form/_source.html", context)


@require_GET
def model(request: HttpRequest) -> HttpResponse:
    """What the framework reads from the chosen files, read again."""
    actor, query = actor_of(request), request.GET
    inspection = inspect(
        actor, query.get("dataset", ""), query.get("model_path", ""), _framework(query), _chosen(query)
    )
    context = {"form": fill(forms.blank(), inspection), "model": inspection, "choices": choices(actor), **empty_rows()}
    return render(request, "services/form/_model.html", context)


@require_POST
def placement(request: HttpRequest) -> HttpResponse:
    """Where it would run now: a verdict on every node. POST, since what is typed so far does not belong into a URL.

    `service`: the name of the one that is being edited; of one that serves, what saving would do to it comes first.
    """
    payload = forms.to_payload(request.POST)
    draft = {"framework": "triton", "dataset": "-", **{key: payload[key] for key in ("queue", "resources", "affinity")}}
    context: dict[str, Any] = {}
    try:
        spec, replicas = parse_spec(draft), parse_replicas(payload["replicas"])
        team = next((team.pk for team in teams_of(actor_of(request)) if team.name == request.POST.get("team")), 0)
        context = {"placed": claims.place(spec, replicas), "queue": claims.preview(spec, replicas, team)}
        context |= _forecast(request, payload, replicas)
    except InvalidFields as error:
        context = {"problems": [f"{label(path)}: {' '.join(reasons)}" for path, reasons in error.errors.items()]}
    return render(request, "services/form/_placement.html", context)
