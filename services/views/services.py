"""The list of services, the overview of one, and the verbs. Creating and editing: create.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from console import roles
from console.accounts import teams
from console.accounts.principal import Principal
from console.errors import Conflict, InvalidFields, NotFound
from console.web.pages import actor_of, page, paginate, wants_fragment
from datasets import states as rounds
from datasets.actions import verbs as round_verbs
from datasets.actions.rounds import cancel, pause, resume
from services import states
from services.actions import forecasts
from services.actions import services as actions
from services.control import rollout
from services.forms.names import number
from services.models import Event, Service
from services.queries import savings, service_status
from services.queries.diffs import changes
from services.specs import ROLLING
from services.views.shared import find, frame, pace


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """Every service that the person may see, narrowed by `q`, `state` and `team`. By htmx: the table alone."""
    actor = actor_of(request)
    visible = Service.objects.visible_to(actor)
    services, filters = visible, {name: request.GET.get(name, "").strip() for name in ("q", "state", "team")}
    if filters["q"]:
        services = services.filter(name__icontains=filters["q"])
    if filters["state"] in states.ALL:
        services = services.filter(state=filters["state"])
    if filters["team"]:
        services = services.filter(team__name=filters["team"])
    rows = paginate(request, service_status.with_related(services))
    context = {
        "page": rows,
        "rows": [_row(service) for service in rows],
        "asked": filters,
        "any": visible.exists(),
        "filtered": any(filters.values()),
        "state_options": [("", "Any state"), *states.CHOICES],
        "team_options": _team_options(visible),
        "may_create": teams.editable_by(actor).exists(),
    }
    return page(request, "services/list.html", "services/_table.html", context)


def _team_options(visible: Any) -> list[tuple[str, str]]:
    names = visible.order_by("team__name").values_list("team__name", flat=True).distinct()
    return [("", "Any team"), *((name, name) for name in names)]


def _row(service: Service) -> dict[str, Any]:
    ready = sum(replica.state == replica.READY for replica in service.replica_set.all())
    return {"service": service, "ready": ready, "spec": service.target.spec if service.target else {}}


@require_safe
def overview(request: HttpRequest, name: str) -> HttpResponse:
    """Where the service is in its life. By htmx: what moves, asked for more often while something does."""
    service, actor = find(request, name)
    context = {**frame(service, actor, "service"), **_status(service), "every": pace(service)}
    if context["may_edit"] and not wants_fragment(request):
        context["off_for"] = forecasts.of_replacement(service)
    return page(request, "services/overview.html", "services/_live_status.html", context)


def _status(service: Service) -> dict[str, Any]:
    failure = None
    if service.state == states.FAILED:
        failure = Event.objects.filter(service=service, new=states.FAILED).first()
    return {
        "steps": _steps(service, failure.old if failure else ""),
        "failure": failure,
        "config": changes({}, service.target_revision.spec["framework_config"]),
        "preheat": service_status.preheat(service.target),
        "verbs": _verbs(service),
        "gpu_seconds_saved": savings.gpu_seconds(Service.objects.filter(pk=service.pk)).get(service.name, 0.0),
        "conditions": service_status.conditions(service),
        "rolling": service.serving_id is not None and service.serving_id != service.target_id,
        "off": rollout.is_off(service),
        "waits_for_room": _waits_for_room(service),
        "can_start": service.state in states.SETTLED,
        "can_restart": service.state in states.ROUTABLE,
        "can_stop": service.state not in {*states.SETTLED, states.STOPPING},
    }


def _waits_for_room(service: Service) -> bool:
    """A revision that a person may have replace the one that serves at once."""
    target = service.target
    if target is None or service.serving is None or target.process_number == service.serving.process_number:
        return False
    return target.strategy == ROLLING and all(row.revision_id != target.pk for row in service.replica_set.all())


def _verbs(service: Service) -> tuple[str, ...]:
    """What can be asked of the round that prepares its files."""
    job = service.target.round if service.target else None
    return round_verbs.possible(job) if job is not None and job.state not in rounds.TERMINAL else ()


LIFE = (
    (states.PREHEATING, "Preheat"),
    (states.QUEUED, "Queue"),
    (states.STARTING, "Starting"),
    (states.READY, "Ready"),
)


def _steps(service: Service, failed_in: str) -> list[tuple[str, str]]:
    """(label, done | now | failed | later) of the life line; nothing is done of a service that is stopped."""
    at = {states.DEGRADED: states.READY, states.FAILED: failed_in}.get(service.state, service.state)
    order = [state for state, _ in LIFE]
    place = order.index(at) if at in order else -1
    here = "failed" if service.state == states.FAILED else "done" if at == states.READY else "now"
    return [(label, here if i == place else "done" if i < place else "later") for i, (_, label) in enumerate(LIFE)]


@require_POST
def act(request: HttpRequest, name: str, verb: str) -> HttpResponse:
    """One verb, then back to where the result shows. What the present state does not allow is said there."""
    service, actor = find(request, name)
    actor.require(service.team, roles.EDITOR)
    if verb not in VERBS:
        raise NotFound(f"There is nothing called {verb} that a service can do.", hint=f"It can: {', '.join(VERBS)}.")
    if asks := _asks(service, request, verb):
        sent = [(key, value) for key, value in request.POST.items() if key != "csrfmiddlewaretoken"]
        context = {**frame(service, actor, "service"), "verb": verb, "sent": sent, "forecast": asks}
        return render(request, "services/choose.html", {**context, "title": TITLES[verb]})
    try:
        success_message = VERBS[verb](service, request, actor)
    except InvalidFields as error:
        messages.error(request, error.text)
    except Conflict as error:
        messages.error(request, str(error))
    else:
        messages.success(request, success_message)
        if verb == "delete":
            return go(request, reverse("services"))
    return go(request, reverse("service", args=[service.name]))


Verb = Callable[[Service, HttpRequest, Principal], str]
"""Carries it out; what to say then."""
TITLES = {"restart": "Restart", "rollback": "Roll back"}


def _asks(service: Service, request: HttpRequest, verb: str) -> forecasts.Forecast | None:
    """What a person has to decide first: there is no room for two revisions at once."""
    if verb not in TITLES or "strategy" in request.POST or wants_fragment(request):
        return None
    revision: Any = number(request.POST.get("revision", ""))
    earlier = service.revisions.filter(number=revision).first() if isinstance(revision, int) else None
    forecast = forecasts.of_restart(service) if verb == "restart" else forecasts.of_rollback(service, earlier)
    return forecast if forecast is not None and forecast.needs_choice else None


def _strategy(request: HttpRequest) -> str:
    return request.POST.get("strategy", ROLLING)


def go(request: HttpRequest, url: str) -> HttpResponse:
    """A redirect that htmx follows as a page of its own too."""
    return HttpResponse(headers={"HX-Redirect": url}) if wants_fragment(request) else redirect(url)


def _told(action: Callable[..., Any], message: str) -> Verb:
    """`message`: about the service {0}."""

    def carry_out(service: Service, request: HttpRequest, actor: Principal) -> str:
        action(service, actor=actor)
        return message.format(service)

    return carry_out


def _of_preheat(action: Callable[..., Any], message: str) -> Verb:
    def carry_out(service: Service, request: HttpRequest, actor: Principal) -> str:
        if service.target is None or service.target.round is None:
            raise Conflict("No model files are being prepared for this service.")
        action(service.target.round, actor=actor)
        return message

    return carry_out


def _restart(service: Service, request: HttpRequest, actor: Principal) -> str:
    actions.restart(service, actor=actor, strategy=_strategy(request))
    return f"{service.name} is being restarted."


def _scale(service: Service, request: HttpRequest, actor: Principal) -> str:
    replicas: Any = number(request.POST.get("replicas", ""))
    actions.scale(service, replicas, actor=actor)
    return f"{service.name} is being scaled to {replicas} {'replica' if replicas == 1 else 'replicas'}."


def _rollback(service: Service, request: HttpRequest, actor: Principal) -> str:
    revision: Any = number(request.POST.get("revision", ""))
    if not isinstance(revision, int):
        raise InvalidFields({"revision": "Say which revision: its number."})
    actions.rollback(service, revision, actor=actor, strategy=_strategy(request))
    return f"{service.name} is being rolled back to revision {revision}."


def _delete(service: Service, request: HttpRequest, actor: Principal) -> str:
    actions.delete(service, actor=actor, confirm=request.POST.get("confirm", ""))
    return f"{service.name} is being deleted: its processes are ending."


VERBS: dict[str, Verb] = {
    "replace-now": _told(actions.replace_now, "{0.name} is being replaced: it is off while the new revision starts."),
    "cancel-rollout": _told(
        actions.cancel_rollout, "The rollout was canceled: revision {0.target_revision.number} stays."
    ),
    "start": _told(actions.start, "{0.name} is being started."),
    "stop": _told(actions.stop, "{0.name} is being stopped; requests in flight are finished."),
    "restart": _restart,
    "scale": _scale,
    "rollback": _rollback,
    "delete": _delete,
    "cancel-preheat": _of_preheat(cancel, "The preparation of model files is being cancelled."),
    "pause-preheat": _of_preheat(pause, "The preparation of model files is being paused. What was copied stays."),
    "resume-preheat": _of_preheat(resume, "The preparation of model files goes on."),
}
