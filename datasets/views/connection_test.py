"""What the pages of datasets show of a look at a source, and of what an administrator allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from console.errors import InvalidFields
from console.web.pages import show_errors
from datasets import wiring
from datasets.forms import LocationForm
from datasets.sources import registry


@dataclass(frozen=True)
class TestResult:
    good: bool
    sentence: str


def run_test(form: LocationForm, check: Callable[..., str]) -> TestResult:
    """Calls `check` with the options and credentials of the form; what is wrong with one is then an error of its field.

    Of other fields nothing is said: who tests a connection may not have thought of a name yet.
    """
    form.full_clean()
    location_fields = {field.name for field in form.location_fields}
    for name in set(form.errors) - location_fields:
        del form.errors[name]
    if not form.errors:
        try:
            return TestResult(True, check(options=form.options(), credentials=form.credentials()))
        except InvalidFields as error:
            show_errors(form, error)
    elsewhere = [str(message) for message in form.non_field_errors()]
    # Said again here: in a long form the field itself may be out of sight.
    at = [f"{field.label}: {message}" for field in form.location_fields for message in field.errors]
    return TestResult(False, " ".join(["Connection test failed.", *elsewhere, *at]))


def allowed(kind: str) -> dict[str, Any]:
    """What the templates show of it: `roots` and `endpoints`, as far as they matter to `kind`; all of it for ""."""
    source = registry.source_class(kind) if kind in registry.SOURCES else None
    return {
        "roots": wiring.allowed_roots() if source is None or source.directories else (),
        "endpoints": settings.DATASET_ENDPOINTS if source is None or source.connects else (),
        "with_directories": source is None or source.directories,
        "with_servers": source is None or source.connects,
    }
