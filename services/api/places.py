"""Queues, nodes and teams in the REST API. Everybody may look at queues and nodes, administrators change them."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from console import teams
from console.models import Team
from console.openapi import describe
from console.rest import Resource, parse
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
class Queues(Resource):
    queryset = Queue.objects.all()
    serializer_class = QueueOut
    lookup_field = "name"

    def queue(self) -> Queue:
        return get_object_or_404(Queue, name=self.kwargs["name"])

    def list(self, request: Request) -> Response:
        return self.get_paginated_response(QueueOut(self.paginate_queryset(Queue.objects.all()), many=True).data)

    def create(self, request: Request) -> Response:
        self.actor.require_admin()
        made = actions.create_queue(actor=self.actor, **{"gpus": {}, **parse(QueueBody, request)})
        where = reverse("api-queue-detail", [made.name], request=request)
        return Response(QueueOut(made).data, status=status.HTTP_201_CREATED, headers={"Location": where})

    def retrieve(self, request: Request, name: str) -> Response:
        return Response(QueueOut(self.queue()).data)

    def partial_update(self, request: Request, name: str) -> Response:
        queue = self.queue()
        self.actor.require_admin()
        changed = actions.edit_queue(queue, parse(QueueChange, request, partial=True), actor=self.actor)
        return Response(QueueOut(changed).data)

    def destroy(self, request: Request, name: str) -> Response:
        actions.delete_queue(self.queue(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(
    list=describe("List the nodes", answers={200: NodeOut(many=True)}),
    retrieve=describe("Show a node", answers={200: NodeOut}, errors=[404]),
    partial_update=describe(
        "Label a node or keep new replicas away (administrators)", answers={200: NodeOut}, body=NodeChange, errors=[404]
    ),
)
class Nodes(Resource):
    queryset = Node.objects.all()
    serializer_class = NodeOut
    lookup_field = "name"
    lookup_value_regex = r"[A-Za-z0-9][-A-Za-z0-9_.]{0,62}"

    def node(self) -> Node:
        return get_object_or_404(Node, name=self.kwargs["name"])

    def list(self, request: Request) -> Response:
        return self.get_paginated_response(NodeOut(self.paginate_queryset(Node.objects.all()), many=True).data)

    def retrieve(self, request: Request, name: str) -> Response:
        return Response(NodeOut(self.node()).data)

    def partial_update(self, request: Request, name: str) -> Response:
        node = self.node()
        self.actor.require_admin()
        changed = actions.edit_node(node, actor=self.actor, **parse(NodeChange, request, partial=True))
        return Response(NodeOut(changed).data)


class TeamOut(serializers.ModelSerializer[Team]):
    role = serializers.SerializerMethodField(help_text="Yours in it: viewer, editor or owner; empty for no member.")

    class Meta:
        model = Team
        fields = ("name", "role", "created_at")

    def get_role(self, team: Team) -> str:
        return str(self.context["roles"].get(team.pk, ""))


@extend_schema_view(list=describe("List your teams", answers={200: TeamOut(many=True)}))
class Teams(Resource):
    queryset = Team.objects.none()
    serializer_class = TeamOut

    def get_queryset(self) -> Any:
        return teams.visible_to(self.actor)

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(TeamOut(page, many=True, context={"roles": self.actor.roles}).data)
