"""Which scope a request needs: `read` to look, `manage` to change.

What the actor may see or touch is the actions' matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from console.accounts.principal import MANAGE, READ, actor_of

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module


class HasScope(BasePermission):
    """A view may name other needs: `required_scopes = {"POST": "infer"}`.

    A key that is restricted to some services changes nothing but these, unless the view says that it looks after that
    itself (`open_to_restricted_keys`).
    """

    message = "The API key does not have the scope that this needs."

    def has_permission(self, request: Request, view: APIView) -> bool:
        actor = actor_of(request)
        looking = request.method in SAFE_METHODS
        named: dict[str, str] = getattr(view, "required_scopes", {})
        needed = named.get(request.method or "", READ if looking else MANAGE)
        if needed not in actor.scopes:
            self.message = (
                f"This needs the scope {needed}; the API key has {', '.join(sorted(actor.scopes)) or 'none'}."
            )
            return False
        if actor.restricted and not looking and not getattr(view, "open_to_restricted_keys", False):
            self.message = "The API key is only for some services, and changes nothing else."
            return False
        return True
