"""Which scope a request needs: `read` to look, `manage` to change. What the actor may see or touch is the actions' matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from console.principal import MANAGE, READ
from services.api.authentication import actor_of

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module


class HasScope(BasePermission):
    """A view may name other needs: `required_scopes = {"POST": "infer"}`."""

    message = "The API key does not have the scope that this needs."

    def has_permission(self, request: Request, view: APIView) -> bool:
        actor = actor_of(request)
        named: dict[str, str] = getattr(view, "required_scopes", {})
        default = READ if request.method in SAFE_METHODS else MANAGE
        return named.get(request.method or "", default) in actor.scopes
