"""Forms of datasets: they parse what was typed, and datasets/actions/datasets.py decides whether it is good."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django import forms
from django.http import QueryDict

from console.accounts import teams
from console.accounts.principal import Principal
from console.models import Team
from datasets.actions.drafts import LONGEST
from datasets.models import Dataset
from datasets.sources import registry
from datasets.sources.base import Option

OPTIONS, CREDENTIALS, REMOVE = "options.", "credentials.", "remove."
"""Fields are named as the REST API spells them: `options.path`. `remove.x` ticks away the stored credential x."""


class LocationForm(forms.Form):
    """The fields that the options of `kind` make. `stored` names the credentials that there are already."""

    def __init__(self, *args: Any, kind: str, stored: Collection[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        for option in registry.source_class(kind).options:
            if not option.secret:
                self.fields[OPTIONS + option.name] = _field(option)
                continue
            self.fields[CREDENTIALS + option.name] = _secret_field(option, stored=option.name in stored)
            if option.name in stored and not option.required:
                self.fields[REMOVE + option.name] = forms.BooleanField(
                    label=f"Remove the stored {option.label.lower()}", required=False
                )

    @property
    def location_fields(self) -> list[forms.BoundField]:
        """The fields of the options, for the page to show together."""
        return [field for field in self if field.name.startswith((OPTIONS, CREDENTIALS, REMOVE))]

    def options(self) -> dict[str, str]:
        return {name: value for name, value in self._given(OPTIONS).items() if value}

    def credentials(self) -> dict[str, str]:
        """Those that were typed, and "" for those to remove: what is left empty stays."""
        removed = {name: "" for name, is_checked in self._given(REMOVE).items() if is_checked}
        return removed | {name: value for name, value in self._given(CREDENTIALS).items() if value}

    def content(self) -> dict[str, Any]:
        """What the actions take."""
        plain = {name: self.cleaned_data[name] for name in self.base_fields}
        return {**plain, "options": self.options(), "credentials": self.credentials()}

    def _given(self, prefix: str) -> dict[str, Any]:
        return {
            name.removeprefix(prefix): value for name, value in self.cleaned_data.items() if name.startswith(prefix)
        }


class DatasetForm(LocationForm):
    """A new dataset. `actor` decides which teams can be chosen."""

    name = forms.CharField(max_length=63, help_text="Lower-case letters, digits and dashes.")
    team = forms.ModelChoiceField(Team.objects.none(), empty_label=None)
    description = forms.CharField(max_length=200, required=False)

    def __init__(self, *args: Any, actor: Principal, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, kind=kind, **kwargs)
        self.fields["team"].queryset = teams.editable_by(actor)  # type: ignore[attr-defined]


class DatasetEditForm(LocationForm):
    """The name stays: services and addresses refer to it."""

    description = forms.CharField(max_length=200, required=False)

    @classmethod
    def of(cls, dataset: Dataset, data: QueryDict | None = None) -> DatasetEditForm:
        options = {OPTIONS + name: value for name, value in dataset.options.items()}
        initial = {"description": dataset.description, **options}
        return cls(data, kind=dataset.kind, stored=dataset.credentials, initial=initial)


def _field(option: Option) -> forms.Field:
    if option.choices:
        return forms.ChoiceField(
            label=option.label,
            required=False,
            help_text=option.help,
            choices=option.choices,
        )
    attributes = {"spellcheck": "false", "autocomplete": "off", "autocapitalize": "off"}
    widget = forms.Textarea(attrs={**attributes, "rows": 5}) if option.lines else forms.TextInput(attrs=attributes)
    return forms.CharField(
        label=option.label,
        required=option.required,
        help_text=option.help,
        widget=widget,
        strip=not option.exact,
        max_length=LONGEST,
    )


def _secret_field(option: Option, *, stored: bool) -> forms.Field:
    """Never filled in: what is stored does not leave the console."""
    attributes = {"autocomplete": "new-password"} | ({"placeholder": "set"} if stored else {})
    keep = "One is set: leave this empty to keep it." if stored else ""
    return forms.CharField(
        label=option.label,
        required=option.required and not stored,
        help_text=f"{option.help} {keep}".strip(),
        widget=forms.PasswordInput(attrs=attributes),
        strip=False,
        max_length=LONGEST,
    )
