"""API keys at the REST API: `Authorization: Bearer <key>` or `X-API-Key: <key>`. Never from the query string."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from console import principal as principals
from console.principal import Principal
from services.actions import keys


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


def presented_key(request: Request) -> str | None:
    if key := request.headers.get("X-API-Key"):
        return key
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest.strip() else None


def actor_of(request: Request) -> Principal:
    """Who sent an API request: the key's principal, or the session's."""
    return request.auth if isinstance(request.auth, Principal) else principals.for_user(request.user)
