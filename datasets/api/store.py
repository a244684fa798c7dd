"""The store of this node in the REST API. For administrators: it holds files of every team."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console.web.answers import answer
from console.web.openapi import describe
from console.web.rest import Resource
from datasets.actions import store as store_actions
from datasets.queries import store as store_queries
from datasets.queries.store import StoredTree, StoreUse


class StoredTreeOut(answer(StoredTree, "needed")):  # type: ignore[misc]  # a class that is made
    wanted = serializers.BooleanField(source="needed", help_text="A service has a revision with it: it is not evicted.")
    leaves = serializers.FloatField(help_text="When it is evicted unless it is used again; 0 for a tree in use.")


class StoreOut(answer(StoreUse, "trees")):  # type: ignore[misc]  # a class that is made
    """Sizes in bytes. Trees come in the order in which they would be evicted."""

    damaged = serializers.IntegerField(help_text="How many trees are.")
    count = serializers.IntegerField(help_text="How many trees there are in all.")
    trees = StoredTreeOut(many=True, help_text="The requested page of trees.")


class EvictedOut(serializers.Serializer[Any]):
    freed = serializers.IntegerField(help_text="Bytes.")


class StoreView(Resource):
    serializer_class = StoreOut
    filter_backends = []
    lookup_field = "digest"
    lookup_value_regex = "[0-9a-f]{64}"

    @describe("Show what is in the store of this node (administrators)", answers={200: StoreOut})
    def show(self, request: Request) -> Response:
        self.actor.require_admin()
        use = store_queries.read()
        trees = self.paginate_queryset(use.trees)
        return Response(StoreOut({**vars(use), "damaged": use.damaged, "count": len(use.trees), "trees": trees}).data)

    @describe(
        "Remove an unused tree (administrators)",
        answers={200: EvictedOut},
        errors=[404, 409],
        description="A later preheat copies it again. 409 while a service needs it, and shortly after its last use.",
    )
    @action(detail=True, methods=["post"])
    def evict(self, request: Request, digest: str) -> Response:
        return Response(EvictedOut({"freed": store_actions.evict(digest, actor=self.actor)}).data)

    @describe(
        "Have every byte of a tree read again (administrators)",
        answers={202: None},
        errors=[404],
        description="`verified` or `damage` of the store say how it went. What is damaged is copied again.",
    )
    @action(detail=True, methods=["post"])
    def verify(self, request: Request, digest: str) -> Response:
        store_actions.verify(digest, actor=self.actor)
        return Response(status=status.HTTP_202_ACCEPTED)
