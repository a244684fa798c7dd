"""Addresses of services, keys, queues, nodes and teams in the REST API, and the answer to those that there are not."""

from __future__ import annotations

from django.urls import path, re_path
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from services.api import dashboard, keys, places, schema, services, usage

__all__ = ["schema", "urlpatterns"]


class Nowhere(APIView):
    """Included after every other address: 404 as problem details instead of a page."""

    schema = None
    authentication_classes = []
    permission_classes = []
    metadata_class = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        hint = "" if request.path.endswith("/") else " Addresses end with a slash."
        raise exceptions.NotFound(f"There is nothing at {request.path}.{hint}")

    def get(self, request: Request) -> Response:
        raise exceptions.NotFound


router = SimpleRouter()
router.register("services", services.Services, basename="api-service")
router.register("keys", keys.Keys, basename="api-key")
router.register("queues", places.Queues, basename="api-queue")
router.register("nodes", places.Nodes, basename="api-node")
router.register("teams", places.Teams, basename="api-team")

urlpatterns = [
    *router.urls,
    path("usage/", usage.UsageView.as_view({"get": "show"}), name="api-usage"),
    path("dashboard/", dashboard.DashboardView.as_view({"get": "show"}), name="api-dashboard"),
    re_path(r"", Nowhere.as_view(), name="api-nowhere"),
]
