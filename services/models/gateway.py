"""What the gateway was told, and when."""

from __future__ import annotations

from django.db import models


class GatewayRevision(models.Model):
    """One published (or refused) configuration. The newest with an empty error is what Envoy has."""

    services = models.PositiveIntegerField(default=0)
    keys = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    """Why Envoy would not have it; the last good one went on."""
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        get_latest_by = "id"

    def __str__(self) -> str:
        return f"gateway {self.pk}"
