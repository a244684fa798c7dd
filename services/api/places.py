"""Queues, nodes and teams in the REST API. Everybody may look at queues and nodes, administrators change them."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_view
from rest_framework import serializers, status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from console.accounts import bounds, teams
from console.models import Team
from console.web.openapi import describe
from console.web.rest import Body, Resource, parse
from services.actions import places as actions
from services.api.serializers.places import NodeChange, NodeOut, QueueBody, QueueChange, QueueOut
from services.models import Node, Queue


@extend_schema_view(
    list=describe("List the queues", answers={200: QueueOut(many=True)}),
    retrieve=describe("Show a queue", answers={200: QueueOut}, errors=[404]),
    create=describe("Create a queue (administrators)", answers={201: QueueOut}, body=QueueBody),
    partial_update=describe("Change a queue (administrators)", answers={200: QueueOut}, body=QueueChange, errors=[404]),
    destroy=describe("Delete a queue that nothing uses (administrators)", answers={204: None}, errors=[404, 409]),
)
class Queues(ListModelMixin, RetrieveModelMixin, Resource):
    queryset = Queue.objects.all()
    serializer_class = QueueOut
    lookup_field = "name"

    def create(self, request: Request) -> Response:
        self.actor.require_admin()
        queue = actions.create_queue(actor=self.actor, **{"gpus": {}, **parse(QueueBody, request)})
        return self.located(QueueOut(queue).data, "api-queue-detail", queue.name)

    def partial_update(self, request: Request, name: str) -> Response:
        queue = self.get_object()
        self.actor.require_admin()
        changed = actions.edit_queue(queue, parse(QueueChange, request, partial=True), actor=self.actor)
        return Response(QueueOut(changed).data)

    def destroy(self, request: Request, name: str) -> Response:
        actions.delete_queue(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(
    list=describe("List the nodes", answers={200: NodeOut(many=True)}),
    retrieve=describe("Show a node", answers={200: NodeOut}, errors=[404]),
    partial_update=describe(
        "Label a node or keep new replicas away (administrators)", answers={200: NodeOut}, body=NodeChange, errors=[404]
    ),
    destroy=describe(
        "Forget a node that is gone and that nothing runs on (administrators)", answers={204: None}, errors=[404, 409]
    ),
)
class Nodes(ListModelMixin, RetrieveModelMixin, Resource):
    queryset = Node.objects.all()
    serializer_class = NodeOut
    lookup_field = "name"
    lookup_value_regex = r"[A-Za-z0-9][-A-Za-z0-9_.]{0,62}"

    def partial_update(self, request: Request, name: str) -> Response:
        node = self.get_object()
        self.actor.require_admin()
        changed = actions.edit_node(node, actor=self.actor, **parse(NodeChange, request, partial=True))
        return Response(self.get_serializer(changed).data)

    def destroy(self, request: Request, name: str) -> Response:
        actions.delete_node(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


class BoundsOut(serializers.Serializer[Team]):
    """How many of each the team may have at most."""

    services = serializers.IntegerField(read_only=True)
    datasets = serializers.IntegerField(read_only=True)
    keys = serializers.IntegerField(read_only=True, help_text="That are neither revoked nor expired.")
    preheats = serializers.IntegerField(read_only=True, help_text="Under way or waiting.")

    def to_representation(self, instance: Team) -> dict[str, int]:
        return {kind: bounds.most(instance, kind) for kind in bounds.KINDS}


class TeamOut(serializers.ModelSerializer[Team]):
    role = serializers.SerializerMethodField(help_text="Yours in it: viewer, editor or owner; empty for no member.")
    bounds = BoundsOut(source="*")

    class Meta:
        model = Team
        fields = ("name", "role", "bounds", "created_at")

    def get_role(self, team: Team) -> str:
        return str(self.context["view"].actor.roles.get(team.pk, ""))


def _bound() -> serializers.IntegerField:
    return serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=bounds.MOST,
        help_text="null: what the installation has.",
    )


class BoundsBody(serializers.Serializer[Any]):
    services = _bound()
    datasets = _bound()
    keys = _bound()
    preheats = _bound()


class TeamChange(Body):
    fixed: ClassVar[tuple[str, ...]] = ("name", "role", "created_at")

    bounds = BoundsBody(required=False)


@extend_schema_view(
    list=describe("List your teams", answers={200: TeamOut(many=True)}),
    retrieve=describe("Show a team of yours", answers={200: TeamOut}, errors=[404]),
    partial_update=describe(
        "Bound what a team may have (administrators)", answers={200: TeamOut}, body=TeamChange, errors=[404]
    ),
)
class Teams(ListModelMixin, RetrieveModelMixin, Resource):
    queryset = Team.objects.none()
    serializer_class = TeamOut
    lookup_field = "name"

    def get_queryset(self) -> Any:
        return teams.visible_to(self.actor)

    def partial_update(self, request: Request, name: str) -> Response:
        team = self.get_object()
        self.actor.require_admin()
        changes = parse(TeamChange, request, partial=True).get("bounds", {})
        return Response(self.get_serializer(bounds.change(team, changes, actor=self.actor)).data)
