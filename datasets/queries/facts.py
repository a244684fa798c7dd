"""What pages say of a dataset's options, whatever its kind: labels instead of names, and no secret."""

from __future__ import annotations

from datasets.errors import SourceError
from datasets.models import Dataset
from datasets.sources import registry
from datasets.sources.base import Option


def options_of(dataset: Dataset) -> list[tuple[str, str]]:
    """(label, value) of each option that has one."""
    declared = _declared(dataset.kind)
    if not declared:  # a kind that this release does not have
        return [(name, str(value)) for name, value in dataset.options.items() if value]
    return [
        (option.label, dict(option.choices).get(value, value))
        for option in declared
        if not option.secret and (value := dataset.options.get(option.name, ""))
    ]


def credentials_of(dataset: Dataset) -> list[str]:
    """Labels of the credentials that are stored."""
    labels = {option.name: option.label for option in _declared(dataset.kind)}
    return [labels.get(name, name) for name in sorted(dataset.credentials)]


def kind_of(dataset: Dataset) -> str:
    """As the form calls it."""
    try:
        return registry.source_class(dataset.kind).label
    except SourceError:
        return dataset.kind


def where(dataset: Dataset) -> str:
    """The place in a word or two: what the kind cannot do without."""
    required = {option.label for option in _declared(dataset.kind) if option.required}
    facts = options_of(dataset)
    return " ".join(value for label, value in facts if label in required) or next((value for _, value in facts), "")


def _declared(kind: str) -> tuple[Option, ...]:
    try:
        return registry.source_class(kind).options
    except SourceError:
        return ()
