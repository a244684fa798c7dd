"""The form of a new API key: it parses what was typed, and services.actions.keys decides whether it is good."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone

from console.accounts import teams
from console.accounts.principal import Principal
from console.models import Team
from services.models import Service

SCOPES = [
    ("infer", "infer: call services through the gateway"),
    ("read", "read: read everything of the team in the REST API"),
    ("manage", "manage: create, change and delete in the REST API"),
]


class KeyForm(forms.Form):
    """`actor` decides which teams and services can be chosen."""

    team = forms.ModelChoiceField(Team.objects.none(), empty_label=None)
    name = forms.CharField(max_length=63, help_text="What uses it, so that people know when it can be revoked.")
    scopes = forms.MultipleChoiceField(
        choices=SCOPES,
        widget=forms.CheckboxSelectMultiple,
        initial=["infer"],
        error_messages={"required": "Choose at least one.", "invalid_choice": "There is no scope %(value)s."},
    )
    services = forms.ModelMultipleChoiceField(
        Service.objects.none(),
        to_field_name="name",
        widget=forms.CheckboxSelectMultiple,
        required=False,
        label="Only these services",
        help_text="None chosen: every service of the team, also those to come.",
    )
    expires_at = forms.DateTimeField(
        label="Expires",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text="Empty: never.",
    )
    rate_limit_per_minute = forms.IntegerField(
        label="Requests a minute", required=False, min_value=1, help_text="Empty: no limit. Requests beyond it get 429."
    )
    tokens_per_minute = forms.IntegerField(
        label="Tokens a minute",
        required=False,
        min_value=1,
        help_text="Of language models, prompt and answer together. Empty: no limit.",
    )
    max_concurrent = forms.IntegerField(
        label="Requests at once", required=False, min_value=1, help_text="Over all services. Empty: no limit."
    )
    all_teams = forms.BooleanField(label="Opens the services of every team", required=False)

    def __init__(self, *args: Any, actor: Principal, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mine = teams.editable_by(actor)
        self.fields["team"].queryset = mine  # type: ignore[attr-defined]
        self.fields["services"].queryset = Service.objects.filter(team__in=mine)  # type: ignore[attr-defined]
        self.fields["expires_at"].help_text = f"Empty: never. Time zone: {timezone.get_current_timezone_name()}."
        if not actor.is_admin:
            del self.fields["all_teams"]

    def clean_services(self) -> list[str]:
        return [service.name for service in self.cleaned_data["services"]]
