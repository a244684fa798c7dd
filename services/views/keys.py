"""API keys: the list, a new one (shown once), revoke and rotate."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import roles
from console.accounts import teams
from console.accounts.principal import Principal
from console.errors import Forbidden
from console.formats.units import duration_text
from console.web.pages import actor_of, carry_out, paginate
from services.actions import delivery, keys
from services.forms.keys import KeyForm
from services.models import ApiKey, Service
from services.queries import key_facts, service_status

STOP_POLLING: Final = 286
"""htmx takes it for: show this, and ask no more."""


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def listing(request: HttpRequest) -> HttpResponse:
    """The keys of the person's teams; POST makes one and answers with the key. `?new` shows its form."""
    actor = actor_of(request)
    form = KeyForm(request.POST or None, actor=actor) if request.POST or "new" in request.GET else None
    new_key: keys.NewKey | None = None
    if request.method == "POST":
        if not teams.editable_by(actor).exists():
            raise Forbidden("Making a key needs the role editor in a team.", hint="Ask an owner of your team.")
        if form:
            new_key = carry_out(form, lambda data: keys.create(team=data["team"], **keys.fields_of(data), actor=actor))
    return _page(request, actor, form=None if new_key else form, new_key=new_key)


@never_cache
@require_POST
def act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`revoke` or `rotate`, of a key that the person may see."""
    actor = actor_of(request)
    row: ApiKey = get_object_or_404(ApiKey.objects.visible_to(actor).select_related("team"), pk=pk)
    if verb == "rotate":
        new_key = keys.rotate(row, actor=actor)
        return _page(request, actor, new_key=new_key, note=f"isk_{row.key_id} goes on working until you revoke it.")
    if verb != "revoke":
        raise Http404(f"A key cannot be told to {verb}.")
    revoked = keys.revoke(row, actor=actor, children="children" in request.POST)
    if revoked.gateway.applied:
        messages.success(request, f"{_sentence(revoked)} The gateway refuses it; open streams end within {_life()}.")
    else:
        messages.warning(request, f"{_sentence(revoked)} The gateway may still take it. {revoked.gateway.message}")
    return redirect("keys")


@never_cache
@require_safe
def waiting(request: HttpRequest) -> HttpResponse:
    """Asked again by the page for as long as the gateway does not do what it says."""
    late = delivery.waiting(_for_delivery(actor_of(request)))
    return render(request, "keys/_waiting.html", {"waiting": late}, status=200 if late else STOP_POLLING)


def _for_delivery(actor: Principal) -> Any:
    fields = ("key_id", "name", "digest", "revoked_at", "expires_at", "max_concurrent")
    return ApiKey.objects.visible_to(actor).only(*fields)


def _life() -> str:
    return duration_text(settings.STREAM_MAX_SECONDS)


def _sentence(revoked: keys.Revoked) -> str:
    count = len(revoked.children)
    more = {0: "", 1: ", and the key that it created"}.get(count, f", and the {count} keys that it created")
    return f"Key {revoked.row.name} was revoked{more}."


def _page(
    request: HttpRequest,
    actor: Principal,
    *,
    form: KeyForm | None = None,
    new_key: keys.NewKey | None = None,
    note: str = "",
) -> HttpResponse:
    rows = paginate(request, ApiKey.objects.visible_to(actor).select_related("team"))
    facts = key_facts.read(list(rows))
    context = {
        "page": rows,
        "form": form,
        "new_key": new_key,
        "note": note,
        "curl": _curl(request, new_key) if new_key else "",
        "live": set(ApiKey.objects.live().filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True)),
        "rows": [(row, facts[row.pk]) for row in rows],
        "editable": {row.pk for row in rows if actor.may(row.team_id, roles.EDITOR)},
        "waiting": delivery.waiting(_for_delivery(actor)),
        "stream_seconds": settings.STREAM_MAX_SECONDS,
        "may_create": teams.editable_by(actor).exists(),
    }
    return render(request, "keys/page.html", context)


def _curl(request: HttpRequest, new_key: keys.NewKey) -> str:
    """One line that works as pasted: a service's metadata through the gateway, or what the REST API lists."""
    header = f'-H "Authorization: Bearer {new_key.key}"'
    opened = Service.objects.routable()
    if not new_key.row.all_teams:
        opened = opened.filter(team=new_key.row.team_id)
    if new_key.row.services:
        opened = opened.filter(pk__in=new_key.row.service_ids)
    service = opened.values_list("name", flat=True).first()
    if service and "infer" in new_key.row.scopes:
        return f"curl -fsS {header} http://{service_status.gateway_host(request.get_host())}/v2/models/{service}"
    if "read" in new_key.row.scopes:
        return f"curl -fsS {header} {request.build_absolute_uri('/api/v1/services/')}"
    return ""
