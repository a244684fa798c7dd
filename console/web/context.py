"""What every template may use besides its own variables."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def page(request: HttpRequest) -> dict[str, Any]:
    return {"gateway_port": settings.GATEWAY_PORT}
