"""Teams and who is in them, and what is counted. Datasets, services and keys belong to a team."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from console import roles

TEAM_NAME = RegexValidator(
    r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", "Lower-case letters, digits and dashes, at most 63."
)


class Team(models.Model):
    name = models.CharField(max_length=63, unique=True, validators=[TEAM_NAME])
    created_at = models.DateTimeField(auto_now_add=True)
    # Quotas; null: the installation default (console/accounts/bounds.py).
    most_services = models.PositiveIntegerField(null=True)
    most_datasets = models.PositiveIntegerField(null=True)
    most_keys = models.PositiveIntegerField(null=True)
    most_preheats = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=roles.CHOICES, default=roles.EDITOR)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="one_role_in_a_team")]
        ordering = ["team__name"]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}: {self.role}"


class Tally(models.Model):
    """How often something was done in the present window: see console/web/rates.py."""

    # A digest: people type passwords into the field for the name.
    key = models.CharField(max_length=64, primary_key=True)
    number = models.PositiveIntegerField(default=0)
    ends_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.number} until {self.ends_at}"
