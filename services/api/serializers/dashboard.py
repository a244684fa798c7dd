"""Shape of the dashboard."""

from __future__ import annotations

from rest_framework import serializers

from console.web.answers import answer
from services.api.serializers.services import EventOut
from services.queries.dashboard import Dashboard


class RecentEventOut(EventOut):
    service = serializers.CharField(source="service.name")

    class Meta(EventOut.Meta):
        fields = ("service", *EventOut.Meta.fields)  # type: ignore[assignment]


class DashboardOut(answer(Dashboard, "events")):  # type: ignore[misc]  # a class that is made
    events = RecentEventOut(many=True, help_text="The newest ones.")
