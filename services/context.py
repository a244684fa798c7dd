"""What every template may use of the services app."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from services.queries import standing


def problems(request: HttpRequest) -> dict[str, Any]:
    """Asked only by the templates that show them."""
    return {"console_problems": SimpleLazyObject(standing.problems)}
