"""What was used: sums of the gateway's log lines, and how far each log file has been read.

Written by services/usage/metering.py alone, in one transaction with the position; read by services/usage/queries.py.
"""

from __future__ import annotations

from typing import Final

from django.db import models

ALWAYS: Final = 0
MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400
SPANS: Final = (MINUTE, HOUR, DAY, ALWAYS)


class UsageSeries(models.Model):
    """Who called what through which door. Names are kept as they were: keys, services and teams go, history stays.

    Texts are "" and numbers 0 where a request did not come so far as to be known.
    """

    key_id = models.CharField(max_length=20, blank=True)
    key_name = models.CharField(max_length=63, blank=True)
    key_team_id = models.BigIntegerField(default=0)
    key_team = models.CharField(max_length=63, blank=True)
    service = models.CharField(max_length=63, blank=True)
    service_team_id = models.BigIntegerField(default=0)
    service_team = models.CharField(max_length=63, blank=True)
    door = models.CharField(max_length=12, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["key_id", "key_team_id", "service", "service_team_id", "door"], name="one_series_of_a_kind"
            )
        ]
        indexes = [
            models.Index(fields=["service"]),
            models.Index(fields=["service_team_id"]),
            models.Index(fields=["key_team_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.key_id or 'nobody'} at {self.service or 'no service'}"


class Usage(models.Model):
    """The sums of a series in one minute, hour or day (UTC), or from the beginning on (span 0).

    Each request is in one row of each span. The columns after `start` are services.gateway.usage_lines.MEASURES.
    """

    series = models.ForeignKey(UsageSeries, on_delete=models.CASCADE, related_name="rows", db_index=False)
    span = models.IntegerField()
    """Seconds: 60, 3600, 86400, or 0 for all time."""
    start = models.BigIntegerField()
    """Seconds since the epoch at which the span began; 0 for all time."""
    requests = models.BigIntegerField(default=0)
    client_errors = models.BigIntegerField(default=0)
    server_errors = models.BigIntegerField(default=0)
    limited = models.BigIntegerField(default=0)
    """Refused because of a limit of the key or of the service."""
    cancelled = models.BigIntegerField(default=0)
    """The client went away before the end."""
    bytes_in = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    ms = models.BigIntegerField(default=0)
    """Milliseconds that the requests which ended well took, together."""
    under_1 = models.BigIntegerField(default=0)
    """Requests that took less than 1 ms; each following field counts up to its bound, from the one before."""
    under_2 = models.BigIntegerField(default=0)
    under_5 = models.BigIntegerField(default=0)
    under_10 = models.BigIntegerField(default=0)
    under_20 = models.BigIntegerField(default=0)
    under_50 = models.BigIntegerField(default=0)
    under_100 = models.BigIntegerField(default=0)
    under_200 = models.BigIntegerField(default=0)
    under_500 = models.BigIntegerField(default=0)
    under_1000 = models.BigIntegerField(default=0)
    under_2000 = models.BigIntegerField(default=0)
    under_5000 = models.BigIntegerField(default=0)
    under_10000 = models.BigIntegerField(default=0)
    under_30000 = models.BigIntegerField(default=0)
    under_60000 = models.BigIntegerField(default=0)
    longer = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["series", "span", "start"], name="one_row_of_a_span")]
        indexes = [models.Index(fields=["span", "start"])]

    def __str__(self) -> str:
        return f"{self.series}: {self.requests} in {self.span} s from {self.start}"


class LogPosition(models.Model):
    """How far one log file has been read. A file is known by its first line: renaming or copying it changes nothing."""

    FORGOTTEN: Final = "forgotten"
    """The row that keeps the counts of positions that were removed."""

    identity = models.CharField(max_length=64, unique=True)
    offset = models.BigIntegerField(default=0)
    """Bytes; always just after a newline."""
    lines = models.BigIntegerField(default=0)
    """Requests counted."""
    torn = models.BigIntegerField(default=0)
    unreadable = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.identity[:12]} at {self.offset}"
