"""What the gateway was told, and when."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class GatewayRevision(models.Model):
    """One published (or refused) configuration. The newest with an empty error is what Envoy has."""

    LEFT_OUT: ClassVar = "Left out:"
    """How the error begins where the rest was published."""

    services = models.PositiveIntegerField(default=0)
    keys = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    """Why Envoy would not have it, and the last good one went on; or which services were left out of it."""
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        get_latest_by = "id"

    def __str__(self) -> str:
        return f"gateway {self.pk}"
