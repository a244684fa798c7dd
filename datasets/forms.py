"""Forms of datasets: they parse what was typed, and datasets/actions.py decides whether it is good."""

from __future__ import annotations

from typing import Any

from django import forms

from console import teams
from console.models import Team
from console.principal import Principal
from datasets.models import Dataset
from datasets.sources import registry
from datasets.sources.base import Option

PREFIX = "options."
"""Options are fields named as the REST API spells them: `options.path`."""


class OptionsForm(forms.Form):
    """A form with one field for each option of `kind`."""

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        for option in registry.source_class(kind).options:
            self.fields[PREFIX + option.name] = _field(option)

    def options(self) -> dict[str, str]:
        return {
            name.removeprefix(PREFIX): value for name, value in self.cleaned_data.items() if name.startswith(PREFIX)
        }


class DatasetForm(OptionsForm):
    """A new dataset. `actor` decides which teams can be chosen."""

    name = forms.CharField(max_length=63, help_text="Lower-case letters, digits and dashes.")
    team = forms.ModelChoiceField(Team.objects.none(), empty_label=None)
    description = forms.CharField(max_length=200, required=False)

    def __init__(self, *args: Any, actor: Principal, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, kind=kind, **kwargs)
        self.fields["team"].queryset = teams.editable_by(actor)  # type: ignore[attr-defined]


class DatasetEditForm(OptionsForm):
    """The name stays: services and addresses refer to it."""

    description = forms.CharField(max_length=200, required=False)

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetEditForm:
        options = {PREFIX + name: value for name, value in dataset.options.items()}
        return cls(kind=dataset.kind, initial={"description": dataset.description, **options})


def _field(option: Option) -> forms.CharField:
    widget = forms.PasswordInput() if option.secret else forms.TextInput(attrs={"spellcheck": "false"})
    return forms.CharField(
        label=option.label, required=option.required, help_text=option.help, widget=widget, max_length=4096
    )
