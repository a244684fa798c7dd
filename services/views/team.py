"""Teams: their members and what they own; for administrators also the accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from console import roles
from console.accounts import bounds, teams
from console.accounts.principal import Principal
from console.errors import InvalidFields
from console.models import Membership, Team
from console.web.pages import ROWS, actor_of, paginate, show_errors
from datasets.models import Dataset, Round
from services.models import ApiKey, Service


class TeamForm(forms.Form):
    name = forms.CharField(max_length=63, help_text="Lower-case letters, digits and dashes.")


class AccountForm(forms.Form):
    username = forms.CharField(max_length=150)


class BoundsForm(forms.Form):
    """Quotas by kind (console/accounts/bounds.py); empty: the installation default."""

    services = forms.IntegerField(min_value=0, max_value=bounds.MOST, required=False)
    datasets = forms.IntegerField(min_value=0, max_value=bounds.MOST, required=False)
    keys = forms.IntegerField(label="Live API keys", min_value=0, max_value=bounds.MOST, required=False)
    preheats = forms.IntegerField(label="Preheats at once", min_value=0, max_value=bounds.MOST, required=False)

    @classmethod
    def of(cls, team: Team, data: QueryDict | None = None) -> BoundsForm:
        form = cls(data, initial={kind: getattr(team, f"most_{kind}") for kind in bounds.KINDS})
        for kind in bounds.KINDS:
            form.fields[kind].widget.attrs["placeholder"] = settings.TEAM_BOUNDS[kind]
        return form


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150, label="Account")
    role = forms.ChoiceField(choices=roles.CHOICES, initial=roles.EDITOR)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def listing(request: HttpRequest) -> HttpResponse:
    """The person's teams; for administrators all teams and all accounts, and by POST new ones (`verb` says which)."""
    actor = actor_of(request)
    team_form, account_form, password = TeamForm(), AccountForm(), None
    if request.method == "POST":
        actor.require_admin()
        verb = request.POST.get("verb")
        try:
            if verb == "team":
                team_form = TeamForm(request.POST)
                if team_form.is_valid():
                    return redirect("team", teams.create(**team_form.cleaned_data, actor=actor).name)
            elif verb == "account":
                account_form = AccountForm(request.POST)
                if account_form.is_valid():
                    password = teams.create_user(**account_form.cleaned_data, actor=actor)
                    account_form = AccountForm()
            else:
                password = _change_account(request, actor, verb or "")
        except InvalidFields as error:
            show_errors(team_form if verb == "team" else account_form, error)
    return render(
        request,
        "teams/list.html",
        {
            "teams": paginate(request, _with_counts(actor)),
            "roles": actor.roles,
            "is_admin": actor.is_admin,
            "team_form": team_form,
            "account_form": account_form,
            "new_password": password,
            "accounts": paginate(request, _accounts(), "accounts") if actor.is_admin else None,
        },
    )


def _accounts() -> QuerySet[User]:
    memberships = Prefetch("memberships", Membership.objects.select_related("team"))
    return User.objects.prefetch_related(memberships).order_by("username")


def _with_counts(actor: Principal) -> QuerySet[Team]:
    def count(rows: QuerySet[Any]) -> Coalesce:
        """A query of its own: one that joined the three would read members x services x datasets rows."""
        counts = rows.filter(team=OuterRef("pk")).order_by().values("team").annotate(count=Count("pk")).values("count")
        return Coalesce(Subquery(counts), 0)

    return teams.visible_to(actor).annotate(
        members=count(Membership.objects.all()),
        owned_services=count(Service.objects.all()),
        owned_datasets=count(Dataset.objects.all()),
    )


def _change_account(request: HttpRequest, actor: Principal, verb: str) -> tuple[User, str] | None:
    user = get_object_or_404(User, pk=_number(request.POST.get("account")))
    if verb == "password":
        return user, teams.reset_password(user, actor=actor)
    if verb not in {"activate", "deactivate"}:
        raise Http404(f"An account cannot be told to {verb}.")
    teams.set_active(user, verb == "activate", actor=actor)
    messages.success(request, f"Account {user.username} can{'' if user.is_active else 'not'} sign in now.")
    return None


@require_http_methods(["GET", "HEAD", "POST"])
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One team of the person's; POST changes its members or deletes it (`verb` says which)."""
    actor = actor_of(request)
    team = get_object_or_404(teams.visible_to(actor), name=name)
    form, wrong = MemberForm(), ""
    if request.method == "POST":
        verb = VERBS.get(request.POST.get("verb", ""))
        if verb is None:
            raise Http404("A team cannot be told that.")
        form = MemberForm(request.POST if verb is _add else None)
        try:
            done = verb(request, team, actor, form)
        except InvalidFields as error:
            wrong = " ".join(error.errors.get("confirm", []))
            if verb is _add:
                show_errors(form, error)
            elif not wrong:
                messages.error(request, error.text)
        else:
            if done:
                messages.success(request, done)
                # One may have left the team, or deleted it.
                still = teams.visible_to(actor_of(request)).filter(name=name).exists()
                return redirect("team", name) if still else redirect("teams")
    return render(
        request,
        "teams/detail.html",
        {
            "team": team,
            "form": form,
            "uses": _uses(team),
            "bounds_form": BoundsForm.of(team, request.POST if request.POST.get("verb") == "bounds" else None),
            "is_owner": actor.may(team.pk, roles.OWNER),
            "is_admin": actor.is_admin,
            "members": paginate(request, team.memberships.select_related("user").order_by("user__username")),
            "choices": roles.CHOICES,
            "services": Service.objects.filter(team=team)[:ROWS],
            "service_count": Service.objects.filter(team=team).count(),
            "datasets": team.datasets.all()[:ROWS],
            "dataset_count": team.datasets.count(),
            "keys": ApiKey.objects.live().filter(team=team).count(),
            "delete_error": wrong,
            "delete_fields": [("verb", "delete")],
            "crumbs": [("Teams", reverse("teams"))],
        },
    )


def _add(request: HttpRequest, team: Team, actor: Principal, form: MemberForm) -> str:
    actor.require(team, roles.OWNER)
    if not form.is_valid():
        return ""
    added = teams.add_member(team, **form.cleaned_data, actor=actor)
    return f"{added.user.get_username()} is in the team now."


def _set_role(request: HttpRequest, team: Team, actor: Principal, form: MemberForm) -> str:
    changed = teams.set_role(_member(request, team), request.POST.get("role", ""), actor=actor)
    return f"{changed.user.get_username()} is {changed.role} now."


def _remove(request: HttpRequest, team: Team, actor: Principal, form: MemberForm) -> str:
    member = _member(request, team)
    teams.remove_member(member, actor=actor)
    return f"{member.user.get_username()} is no longer in team {team.name}."


def _delete(request: HttpRequest, team: Team, actor: Principal, form: MemberForm) -> str:
    teams.delete(team, actor=actor, confirm=request.POST.get("confirm", ""))
    return f"Team {team.name} was deleted."


def _bound(request: HttpRequest, team: Team, actor: Principal, form: MemberForm) -> str:
    actor.require_admin()
    bounds_form = BoundsForm.of(team, request.POST)
    if not bounds_form.is_valid():
        return ""  # the page shows what is wrong at each number
    bounds.change(team, bounds_form.cleaned_data, actor=actor)
    return f"What team {team.name} may have was changed."


def _uses(team: Team) -> list[tuple[str, int, int]]:
    """Label, how many there are, and how many there may be."""
    rounds = Round.objects.active().filter(dataset__team=team)
    return [
        ("Services", team.services.count(), bounds.most(team, bounds.SERVICES)),
        ("Datasets", team.datasets.count(), bounds.most(team, bounds.DATASETS)),
        ("Live API keys", ApiKey.objects.live().filter(team=team).count(), bounds.most(team, bounds.KEYS)),
        ("Preheats under way or waiting", rounds.count(), bounds.most(team, bounds.PREHEATS)),
    ]


VERBS: dict[str, Callable[[HttpRequest, Team, Principal, MemberForm], str]] = {
    "add": _add,
    "role": _set_role,
    "remove": _remove,
    "delete": _delete,
    "bounds": _bound,
}
"""Each returns what to say when it is done, or "" when the form was not filled in well."""


def _member(request: HttpRequest, team: Team) -> Membership:
    return get_object_or_404(team.memberships.select_related("user", "team"), pk=_number(request.POST.get("member")))


def _number(text: str | None) -> int:
    """A primary key as a form sends it; 0, which no row has, for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
