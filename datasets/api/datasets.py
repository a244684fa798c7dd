"""Datasets and their rounds in the REST API. Views parse, call one action or reader, and render."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_view
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.mixins import RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from console.web.answers import answer
from console.web.openapi import describe
from console.web.rest import Body, number, parse, team_for
from datasets import states
from datasets.actions import datasets, trust
from datasets.actions.rounds import request_round
from datasets.api.files import PATH, WithFiles
from datasets.api.rounds import RoundOut, Rounds
from datasets.models import Dataset
from datasets.queries import browsing
from datasets.queries.browsing import Listing
from datasets.sources import registry
from datasets.specs import Entry, Recognised

SET = "set"
AFTER = OpenApiParameter("after", OpenApiTypes.STR, description="The answer's `next`, for the page after it.")
LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description="How many entries to give: 200, at most 1000.")


class DatasetOut(serializers.ModelSerializer[Dataset]):
    team = serializers.CharField(source="team.name")
    options = serializers.DictField(child=serializers.CharField(), help_text="What the kind needs.")
    credentials = serializers.SerializerMethodField(
        help_text='Which credentials are stored: {"secret_key": "set"}. Their values are never shown.'
    )
    digest = serializers.SerializerMethodField(
        help_text="Digest of the location and of the last copy. Send it along to trust what you saw."
    )
    trusted = serializers.BooleanField(help_text="Whether the team trusts the code at the present location.")
    trust_covers_changes = serializers.BooleanField(help_text="Also code that changes there later.")

    class Meta:
        model = Dataset
        fields = (
            "name",
            "team",
            "kind",
            "options",
            "credentials",
            "description",
            "trusted",
            "trust_covers_changes",
            "trusted_by",
            "trusted_at",
            "digest",
            "created_by",
            "created_at",
            "updated_at",
        )

    def get_digest(self, dataset: Dataset) -> str:
        """A list has them all at hand."""
        digests = self.context.get("digests") or trust.digests([dataset])
        return str(digests[dataset.pk])

    def get_credentials(self, dataset: Dataset) -> dict[str, str]:
        return dict.fromkeys(dataset.credentials, SET)


class Place(Body):
    """What a kind needs, as it is sent. The rules are those of the kind: see datasets/actions/drafts.py."""

    options = serializers.DictField(required=False, help_text='What the kind needs; for local {"path": "/abs/dir"}.')
    credentials = serializers.DictField(
        required=False, write_only=True, help_text="The secret ones of what it needs. They are stored encrypted."
    )


class DatasetBody(Place):
    name = serializers.CharField(allow_blank=True)
    team = serializers.CharField(required=False, help_text="Optional if you can create in one team only.")
    kind = serializers.CharField(allow_blank=True, help_text=f"One of: {', '.join(registry.SOURCES)}.")
    description = serializers.CharField(required=False, allow_blank=True)


class DatasetChange(Place):
    fixed: ClassVar[tuple[str, ...]] = ("name", "team", "kind")

    credentials = serializers.DictField(
        required=False,
        write_only=True,
        help_text='One that is left out stays, "" removes it. When the place changes, all must be sent again.',
    )
    description = serializers.CharField(required=False, allow_blank=True)


class CheckBody(Place):
    team = serializers.CharField(required=False)
    kind = serializers.CharField(allow_blank=True)
    name = serializers.CharField(required=False, allow_blank=True, help_text="Not looked at.")
    description = serializers.CharField(required=False, allow_blank=True, help_text="Not looked at.")


class CheckOut(serializers.Serializer[Any]):
    reached = serializers.CharField(help_text="What was reached, in a sentence.")


class EntryOut(answer(Entry, "problem")):  # type: ignore[misc]  # a class that is made
    name = serializers.CharField()
    left_out = serializers.CharField(
        help_text="Why a copy of the folder leaves it out, or stops at it, such as: a link to x, which does not exist. "
        "Empty for most."
    )


class ListingOut(answer(Listing, "breadcrumbs", "entries", "recognised")):  # type: ignore[misc]  # as above
    entries = EntryOut(many=True)
    recognised = answer(Recognised, "details")(help_text="What the folder is.")


class PreheatBody(Body):
    path = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False, help_text="Empty: all of it.")
    mode = serializers.ChoiceField(
        states.MODES,
        required=False,
        help_text="mirror (default): exactly what is at the source now; keep: what was copied before and is gone from "
        "the source stays.",
    )


SAMPLE = OpenApiExample(
    "A directory of this machine",
    request_only=True,
    value={"name": "models", "kind": "local", "options": {"path": "/srv/models"}, "description": "Team models"},
)


@extend_schema_view(
    list=describe("List the datasets that you have access to", answers={200: DatasetOut(many=True)}),
    retrieve=describe("Show a dataset", answers={200: DatasetOut}, errors=[404]),
    create=describe("Create a dataset", answers={201: DatasetOut}, body=DatasetBody, errors=[429], examples=[SAMPLE]),
    partial_update=describe(
        "Change a dataset's options, credentials or description",
        answers={200: DatasetOut},
        body=DatasetChange,
        errors=[404, 409, 429],
    ),
    destroy=describe("Delete a dataset that no running service uses", answers={204: None}, errors=[404, 409]),
)
class Datasets(RetrieveModelMixin, Rounds, WithFiles):
    queryset = Dataset.objects.none()
    serializer_class = DatasetOut
    lookup_field = "name"

    def get_queryset(self) -> Any:
        return Dataset.objects.visible_to(self.actor).select_related("team")

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(DatasetOut(page, many=True, context={"digests": trust.digests(page)}).data)

    def create(self, request: Request) -> Response:
        data = parse(DatasetBody, request)
        team = team_for(self.actor, data.pop("team", None))
        dataset = datasets.create(team=team, options=data.pop("options", {}), actor=self.actor, **data)
        return self.located(DatasetOut(dataset).data, "api-dataset-detail", dataset.name)

    def partial_update(self, request: Request, name: str) -> Response:
        dataset = self.get_object()
        changed = datasets.update(dataset, actor=self.actor, **parse(DatasetChange, request, partial=True))
        return Response(DatasetOut(changed).data)

    def destroy(self, request: Request, name: str) -> Response:
        datasets.delete(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @describe(
        "Test the connection of a new dataset",
        answers={200: CheckOut},
        body=CheckBody,
        errors=[429],
        operation_id="datasets_check_new",
        description="Makes nothing. Errors are those of creating one, at the fields that they are about. Takes the "
        "body that would make it.",
    )
    @action(detail=False, methods=["post"], url_path="check", url_name="check-new")
    def check_new(self, request: Request) -> Response:
        data = parse(CheckBody, request)
        for other in ("name", "description"):
            data.pop(other, None)
        team = team_for(self.actor, data.pop("team", None))
        message = datasets.check(team=team, options=data.pop("options", {}), actor=self.actor, **data)
        return Response(CheckOut({"reached": message}).data)

    @describe(
        "Test the connection of a dataset, as it is or with changes",
        answers={200: CheckOut},
        body=Place,
        errors=[404, 429],
        description="Changes nothing. What is not sent is taken as it is stored, as when the dataset is changed.",
    )
    @action(detail=True, methods=["post"])
    def check(self, request: Request, name: str) -> Response:
        message = datasets.check_dataset(self.get_object(), actor=self.actor, **parse(Place, request))
        return Response(CheckOut({"reached": message}).data)

    @describe("Browse a dataset", answers={200: ListingOut}, errors=[400, 404], parameters=[PATH, AFTER, LIMIT])
    @action(detail=True, pagination_class=None)
    def files(self, request: Request, name: str) -> Response:
        limit = number(request, "limit", 200, most=1000)
        query = request.query_params
        listing = browsing.browse(
            self.get_object(), query.get("path", ""), after=query.get("after", ""), limit=max(1, limit)
        )
        return Response(ListingOut(listing).data)

    @describe(
        "Prepare a path of a dataset on this node",
        answers={202: RoundOut},
        body=PreheatBody,
        errors=[404, 409],
        description="Gives the round that copies it: the one under way, or a new one. Location is where to follow it.",
    )
    @action(detail=True, methods=["post"])
    def preheat(self, request: Request, name: str) -> Response:
        dataset = self.get_object()
        data = parse(PreheatBody, request)
        job = request_round(dataset, data.get("path", ""), mode=data.get("mode", states.MIRROR), actor=self.actor)
        return self.accepted(job)
