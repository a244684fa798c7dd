"""Forms of queues and nodes: they parse what was typed, and services.actions.places decides whether it is good."""

from __future__ import annotations

from typing import Any

from django import forms

from services.actions.places import LONGEST_MINUTES, TURNS
from services.models import Node, Queue
from services.policies.admission import FAIR, ORDERS

ANY = "any"
"""How the GPU type "" is typed."""


class PairsField(forms.CharField):
    """One `name = value` a line; cleans to a dict of texts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}), required=False, **kwargs)

    def clean(self, value: Any) -> dict[str, str]:
        text = super().clean(value)
        pairs: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            name, equals, given = line.partition("=")
            if not equals or not name.strip():
                raise forms.ValidationError(f"Line {number} is not of the form name = value.")
            if name.strip() in pairs:
                raise forms.ValidationError(f"{name.strip()} is there twice.")
            pairs[name.strip()] = given.strip()
        return pairs


def pairs_text(pairs: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in sorted(pairs.items()))


class GpusField(PairsField):
    """`NVIDIA-H200 = 8` a line; cleans to type -> count, `any` being the type ""."""

    def clean(self, value: Any) -> dict[str, int]:  # type: ignore[override]
        counts: dict[str, int] = {}
        for kind, count in super().clean(value).items():
            if not count.isascii() or not count.isdigit() or len(count) > 6:
                raise forms.ValidationError(f"The count of {kind} must be a whole number, such as {kind} = 8.")
            counts["" if kind == ANY else kind] = int(count)
        return counts


class QueueForm(forms.Form):
    name = forms.CharField(max_length=63, help_text="Lower-case letters, digits and dashes.")
    description = forms.CharField(max_length=200, required=False)
    cpu = forms.FloatField(label="CPU, cores", min_value=0)
    memory_gib = forms.FloatField(label="Memory, GiB", min_value=0)
    gpus = GpusField(
        label="GPUs by type", help_text=f"One a line, such as NVIDIA-H200 = 8. {ANY} = 2 counts GPUs of any type."
    )
    order = forms.ChoiceField(choices=ORDERS, initial=FAIR)
    patience_minutes = forms.IntegerField(
        label="Minutes until one that was passed comes first",
        min_value=0,
        max_value=LONGEST_MINUTES,
        initial=TURNS["patience_minutes"],
        help_text="In a fair queue a service that does not fit yet is passed by others for so long.",
    )
    hold_minutes = forms.IntegerField(
        label="Minutes for which it then does",
        min_value=0,
        max_value=LONGEST_MINUTES,
        initial=TURNS["hold_minutes"],
        help_text="What it needs is kept for it meanwhile; then it is passed again. 0: never.",
    )


class QueueEditForm(QueueForm):
    name = None  # type: ignore[assignment]  # services name their queue: it stays

    @classmethod
    def of(cls, queue: Queue) -> QueueEditForm:
        gpus = {kind or ANY: count for kind, count in queue.gpus.items()}
        return cls(
            initial={
                "description": queue.description,
                "cpu": queue.cpu,
                "memory_gib": queue.memory_gib,
                "gpus": pairs_text(gpus),
                **{name: getattr(queue, name) for name in TURNS},
            }
        )


class NodeForm(forms.Form):
    schedulable = forms.BooleanField(
        label="Takes new replicas", required=False, help_text="Off keeps new replicas away; what runs there goes on."
    )
    extra_labels = PairsField(
        label="Labels of your own", help_text="One a line, such as zone = a. Affinity rules match them like the others."
    )

    @classmethod
    def of(cls, node: Node) -> NodeForm:
        return cls(initial={"schedulable": node.schedulable, "extra_labels": pairs_text(node.extra_labels)})
