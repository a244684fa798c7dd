"""API keys at the REST API: `Authorization: Bearer <key>` or `X-API-Key: <key>`. Never from the query string."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from console.accounts.principal import Principal, actor_of
from services.actions import keys

__all__ = ["ApiKeyAuthentication", "actor_of", "presented_key"]


class ApiKeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Any, Principal] | None:
        presented = presented_key(request)
        if presented is None:
            return None
        actor = keys.authenticate(presented)
        if actor is None:
            raise exceptions.AuthenticationFailed("The API key is not valid, has expired or was revoked.")
        return AnonymousUser(), actor

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Inference Console"'


def presented_key(request: Request | HttpRequest) -> str | None:
    if key := request.headers.get("X-API-Key"):
        return key
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest.strip() else None
