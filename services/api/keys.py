"""API keys in the REST API: make, list, rotate, revoke."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console.web.openapi import describe
from console.web.rest import Resource, parse, team_for
from services.actions import keys as actions
from services.api.serializers.keys import (
    KeyBody,
    KeyOut,
    NewKeyOut,
    RevokeBody,
    RevokedOut,
    new_key_json,
    revoked_json,
    rows_json,
)
from services.models import ApiKey

EXAMPLE = OpenApiExample(
    "For one service, until the end of the year",
    request_only=True,
    value={
        "name": "shop front",
        "scopes": ["infer"],
        "services": ["example-mnist-isvc"],
        "expires_at": "2030-12-31T23:59:59Z",
        "rate_limit_per_minute": 600,
        "tokens_per_minute": 100_000,
        "max_concurrent": 16,
    },
)


@extend_schema_view(
    list=describe("List the keys of your teams", answers={200: KeyOut(many=True)}),
    retrieve=describe("Show a key (without the key itself)", answers={200: KeyOut}, errors=[404]),
    create=describe(
        "Make a key",
        answers={201: NewKeyOut, 202: NewKeyOut},
        body=KeyBody,
        examples=[EXAMPLE],
        description="A key that makes one hands on no more than it has itself: it expires no later, its limits are no "
        "wider, it has no other scopes and services. Limits and expiry that are left out are those of its maker. "
        "202: the gateway does not have it yet, and `gateway` says why.",
    ),
)
class Keys(Resource):
    queryset = ApiKey.objects.none()
    serializer_class = KeyOut
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> Any:
        return ApiKey.objects.visible_to(self.actor).select_related("team")

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(rows_json(page or ()))

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(rows_json([self.get_object()])[0])

    def create(self, request: Request) -> Response:
        data = parse(KeyBody, request)
        team = team_for(self.actor, data.pop("team", None))
        return self._new_key_response(actions.create(team=team, actor=self.actor, **actions.fields_of(data)))

    @describe(
        "Create a second key with the same rights",
        answers={201: NewKeyOut, 202: NewKeyOut},
        errors=[400, 404, 409],
        description="The old one goes on working until it is revoked, so that clients can change over. A key gets none "
        "this way that may do more than itself, and rotates only itself and the keys that it created.",
    )
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        return self._new_key_response(actions.rotate(self.get_object(), actor=self.actor))

    @describe(
        "Revoke a key, from now on and for good",
        answers={200: RevokedOut, 202: RevokedOut},
        body=RevokeBody,
        errors=[400, 404],
        description="The keys that it made are revoked with it, unless `children` is false: mostly a key is revoked "
        "because others have it, and then they have those as well. The key that asks stays. Requests and streams "
        "under way go on: a stream ends within STREAM_MAX_SECONDS (3600). 200: the gateway refuses new ones by now; "
        "202: not yet, and `gateway` says why. GET the key to see when it does.",
    )
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        data = parse(RevokeBody, request)
        revoked = actions.revoke(row, actor=self.actor, children=data["children"])
        done = status.HTTP_200_OK if revoked.gateway.applied else status.HTTP_202_ACCEPTED
        return Response(revoked_json(revoked), status=done)

    def _new_key_response(self, new_key: actions.NewKey) -> Response:
        # A proxy or a browser must not keep the only copy of the key.
        headers = {"Cache-Control": "no-store"}
        done = status.HTTP_201_CREATED if new_key.gateway.applied else status.HTTP_202_ACCEPTED
        return self.located(new_key_json(new_key), "api-key-detail", new_key.row.pk, status=done, **headers)
