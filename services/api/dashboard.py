"""The dashboard in the REST API: what runs, what waits and why, what is used."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from console.web.openapi import describe
from console.web.rest import Resource
from services.api.serializers.dashboard import DashboardOut
from services.queries import dashboard


class DashboardView(Resource):
    serializer_class = DashboardOut
    pagination_class = None
    filter_backends = []

    @describe("Show what runs, what waits and why, and what is used", answers={200: DashboardOut})
    def show(self, request: Request) -> Response:
        return Response(DashboardOut(dashboard.read(self.actor)).data)
