"""The dashboard in the REST API: what runs, what waits and why, what is used."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from console.openapi import describe
from console.rest import Resource
from services import dashboard
from services.api.serializers.dashboard import DashboardOut


@extend_schema_view(
    list=describe("Show the dashboard", answers={200: DashboardOut(many=False)}, operation_id="dashboard_retrieve")
)
class DashboardView(Resource):
    # One object, not a list: `list` is what a router calls the address without a name.
    serializer_class = DashboardOut
    pagination_class = None
    filter_backends = []

    def list(self, request: Request) -> Response:
        return Response(DashboardOut(dashboard.read(self.actor)).data)
