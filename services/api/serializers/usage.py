"""Shape of usage: what services, keys or teams used, in all or by the interval."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class LatencyOut(serializers.Serializer[Any]):
    mean = serializers.FloatField(source="mean_ms", allow_null=True)
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)


class UsedOut(serializers.Serializer[Any]):
    """What was counted of some requests. Each is in one of succeeded, client_errors, .., cancelled."""

    requests = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    client_errors = serializers.IntegerField(help_text="Refused, or wrong in themselves: 4xx and gRPC's like.")
    server_errors = serializers.IntegerField(help_text="5xx and gRPC's like, and answers that broke off.")
    limited = serializers.IntegerField(help_text="Refused because of a limit of the key or of the service (429).")
    cancelled = serializers.IntegerField(help_text="The client went away before the end.")
    bytes_in = serializers.IntegerField()
    bytes_out = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    latency_ms = LatencyOut(source="*", help_text="Latency of successful requests; null when there were none.")


class PointOut(serializers.Serializer[Any]):
    group = serializers.CharField(help_text='Service, key id or team; "" where a request came to none.')
    name = serializers.CharField(source="label", help_text="The same for people: a key's name, for example.")
    at = serializers.DateTimeField(allow_null=True, help_text="Beginning of the interval; null for the whole time.")
    used = UsedOut()


class UsageReportOut(serializers.Serializer[Any]):
    start = serializers.DateTimeField(help_text="`from`, put back to where an interval begins.")
    end = serializers.DateTimeField(help_text="`to`, put on to where one ends.")
    group_by = serializers.CharField()
    interval = serializers.CharField(allow_null=True)
    results = PointOut(many=True, help_text="Those of the group with the most requests first.")
    left_out = serializers.IntegerField(help_text="Points beyond `limit`: narrow the query, or request CSV.")
