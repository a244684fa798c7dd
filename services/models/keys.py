"""API keys: only the digest is kept, the key itself is shown once."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from services.querysets import ApiKeyQuerySet


class ApiKey(models.Model):
    team = models.ForeignKey("console.Team", on_delete=models.CASCADE, related_name="keys")
    name = models.CharField(max_length=63)
    key_id = models.CharField(max_length=20, unique=True)
    """The public part of the key; safe to show and to log."""
    digest = models.CharField(max_length=64, unique=True)
    """SHA-256 of the whole key in hex: the key has 256 bits of entropy, so a slow hash would add nothing."""
    scopes = models.JSONField(default=list)
    """Any of infer, read, manage."""
    services = models.JSONField(default=list, blank=True)
    """Names of the only services it opens, for people to read; empty: every service of the team."""
    service_ids = models.JSONField(default=list, blank=True)
    """Primary keys of `services`, which decide: a later service of the same name is another one. 0 was gone before."""
    all_teams = models.BooleanField(default=False)
    """An administrator's key: every team's services."""
    rate_limit_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    """Prompt and completion tokens together."""
    max_concurrent = models.PositiveIntegerField(null=True, blank=True)
    """Requests under way at once, over all services."""
    shares = models.JSONField(default=dict, blank=True)
    """Whose limits it takes from, where they are not its own alone: see services/actions/key_shares.py."""
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True)
    parent = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="children")
    """The key that made it, and that it is bounded by."""
    replaces = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="replaced_by")
    last_used_at = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} (isk_{self.key_id}…)"
