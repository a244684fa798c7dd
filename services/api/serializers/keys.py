"""Shapes of API keys. The key itself is shown once, in the answer that makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from console.web.answers import answer
from console.web.rest import Body
from services.actions import delivery
from services.actions.delivery import Delivery
from services.actions.keys import NewKey, Revoked
from services.gateway.keys import PREFIX
from services.models import ApiKey
from services.queries import key_facts


class KeyOut(serializers.ModelSerializer[ApiKey]):
    team = serializers.CharField(source="team.name")
    prefix = serializers.SerializerMethodField(help_text="The public part of the key, safe to show and to log.")
    scopes = serializers.ListField(child=serializers.CharField())
    services = serializers.ListField(child=serializers.CharField(), help_text="Empty: every service of the team.")
    deleted_services = serializers.SerializerMethodField(
        help_text="Those of `services` that were deleted. A later service of the same name is not opened."
    )
    # Not the model's own field: its bounds are the database's, and the document must not depend on that.
    rate_limit_per_minute = serializers.IntegerField(allow_null=True, help_text="Requests; null is no limit.")
    tokens_per_minute = serializers.IntegerField(
        allow_null=True, help_text="Prompt and completion tokens together; null is no limit."
    )
    max_concurrent = serializers.IntegerField(
        allow_null=True, help_text="Requests under way at once, over all services; null is no limit."
    )
    replaces = serializers.IntegerField(
        source="replaces_id", read_only=True, allow_null=True, help_text="The key that it was rotated from."
    )

    parent = serializers.IntegerField(  # type: ignore[assignment]  # the metaclass keeps it apart from Field.parent
        source="parent_id", read_only=True, allow_null=True, help_text="The key that created it, if any."
    )
    children = serializers.SerializerMethodField(
        help_text="How many living keys it made, with those that they made: what goes with it when it is revoked."
    )

    gateway = serializers.SerializerMethodField()

    class Meta:
        model = ApiKey
        fields = (
            "id",
            "name",
            "team",
            "prefix",
            "scopes",
            "services",
            "deleted_services",
            "all_teams",
            "rate_limit_per_minute",
            "tokens_per_minute",
            "max_concurrent",
            "expires_at",
            "revoked_at",
            "replaces",
            "parent",
            "children",
            "last_used_at",
            "created_by",
            "created_at",
            "gateway",
        )

    @extend_schema_field(answer(Delivery))
    def get_gateway(self, key: ApiKey) -> dict[str, Any]:
        return asdict(self.context["deliveries"][key.pk])

    def get_prefix(self, key: ApiKey) -> str:
        return f"{PREFIX}{key.key_id}"

    def get_deleted_services(self, key: ApiKey) -> list[str]:
        return list(self.context["facts"][key.pk].deleted_services)

    def get_children(self, key: ApiKey) -> int:
        return int(self.context["facts"][key.pk].children)


class NewKeyOut(KeyOut):
    key = serializers.CharField(help_text="The key. It is not stored and cannot be shown again.")

    class Meta(KeyOut.Meta):
        fields = (*KeyOut.Meta.fields, "key")  # type: ignore[assignment]


class KeyBody(Body):
    name = serializers.CharField(allow_blank=True, help_text="What uses it.")
    team = serializers.CharField(required=False, help_text="Optional if you can create in one team only.")
    scopes = serializers.ListField(
        child=serializers.CharField(),
        max_length=10,
        required=False,
        help_text="Any of infer, read and manage; [infer] when left out.",
    )
    services = serializers.ListField(
        child=serializers.CharField(),
        max_length=500,
        required=False,
        help_text="The only services it opens; empty: all of the team's.",
    )
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Made by a key that expires: at most, and by default, as that one."
    )
    rate_limit_per_minute = serializers.IntegerField(
        required=False, allow_null=True, max_value=10**9, help_text="Requests; more are answered 429."
    )
    tokens_per_minute = serializers.IntegerField(
        required=False, allow_null=True, max_value=10**9, help_text="Prompt and completion tokens together."
    )
    max_concurrent = serializers.IntegerField(
        required=False, allow_null=True, max_value=10**9, help_text="Requests under way at once, over all services."
    )
    all_teams = serializers.BooleanField(required=False, help_text="An administrator's key: every team's services.")


class RevokeBody(Body):
    children = serializers.BooleanField(
        required=False, default=True, help_text="Whether the keys that it created are revoked, too."
    )


class RevokedOut(KeyOut):
    revoked_children = serializers.ListField(
        child=serializers.IntegerField(), help_text="The keys that were revoked with it."
    )

    class Meta(KeyOut.Meta):
        fields = (*KeyOut.Meta.fields, "revoked_children")  # type: ignore[assignment]


def rows_json(rows: Sequence[ApiKey], deliveries: Mapping[int, Delivery] | None = None) -> list[dict[str, Any]]:
    """`deliveries`: by primary key, where they were asked for just now."""
    context = {"facts": key_facts.read(rows), "deliveries": deliveries or delivery.states(rows)}
    return list(KeyOut(rows, many=True, context=context).data)


def new_key_json(new_key: NewKey) -> dict[str, Any]:
    return {**rows_json([new_key.row], {new_key.row.pk: new_key.gateway})[0], "key": new_key.key}


def revoked_json(revoked: Revoked) -> dict[str, Any]:
    shown = rows_json([revoked.row], {revoked.row.pk: revoked.gateway})[0]
    return {**shown, "revoked_children": [child.pk for child in revoked.children]}
