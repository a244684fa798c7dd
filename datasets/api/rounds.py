"""Rounds of a dataset in the REST API: their progress, their files and log, and what can be asked of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console.errors import InvalidFields
from console.web.answers import answer
from console.web.openapi import describe
from console.web.rest import Resource
from datasets.actions import rounds as round_actions
from datasets.models import Round, RoundLine
from datasets.preheat.copying.file_progress import FileRow
from datasets.queries import progress as round_progress
from datasets.queries import round_files

ONE = r"rounds/(?P<round_id>[0-9]{1,18})"
ROUND_ID = OpenApiParameter("round_id", OpenApiTypes.INT, OpenApiParameter.PATH)
FILE_STATE = OpenApiParameter(
    "state", OpenApiTypes.STR, description="moving, waiting or there; without it, those that move come first."
)


class RoundOut(serializers.ModelSerializer[Round]):
    """A round with its progress; percent is 100 only once it is DONE."""

    dataset = serializers.CharField(source="dataset.name")
    mode = serializers.CharField(help_text="mirror or keep: what becomes of files that are gone from the source.")
    state = serializers.CharField(help_text="PENDING, COPYING, VERIFYING, PAUSED, DONE, FAILED or CANCELLED.")
    percent = serializers.IntegerField()
    # A model's own fields would bring the bounds of the database in use.
    files_done = serializers.IntegerField()
    files_total = serializers.IntegerField()
    attempts = serializers.IntegerField()
    seconds_left = serializers.IntegerField(allow_null=True)
    sentence = serializers.CharField(help_text="The progress, for people.")
    finished = serializers.BooleanField()

    class Meta:
        model = Round
        fields = (
            "id",
            "dataset",
            "path",
            "node",
            "mode",
            "state",
            "percent",
            "sentence",
            "finished",
            "bytes_done",
            "bytes_total",
            "bytes_copied",
            "bytes_per_second",
            "seconds_left",
            "files_done",
            "files_total",
            "tree",
            "attempts",
            "cancel_requested",
            "pause_requested",
            "requested_by",
            "created_at",
            "started_at",
            "finished_at",
        )

    def to_representation(self, instance: Round) -> dict[str, Any]:
        progress = round_progress.progress(instance)
        rest = {name: getattr(instance, name) for name in self.Meta.fields if name not in progress}
        values: Any = {**rest, **progress}
        return super().to_representation(values)


class RoundFileOut(answer(FileRow)):  # type: ignore[misc]  # a class that is made
    percent = serializers.IntegerField(help_text="100 only once it is there.")
    seconds_left = serializers.SerializerMethodField()

    def get_seconds_left(self, row: FileRow) -> int | None:
        return round_files.seconds_left(row)


class RoundLineOut(serializers.ModelSerializer[RoundLine]):
    class Meta:
        model = RoundLine
        fields = ("at", "text")


def _verb(summary: str, name: str, description: str = "") -> Callable[[Any], Any]:
    described = describe(
        summary, answers={202: RoundOut}, errors=[404, 409], parameters=[ROUND_ID], description=description or None
    )
    routed = action(detail=True, methods=["post"], url_path=f"{ONE}/{name}", url_name=f"round-{name}")
    return lambda view: described(routed(view))


class Rounds(Resource):
    # The half of the datasets view that is about rounds.

    @describe(
        "List the rounds of a dataset, newest first",
        answers={200: RoundOut(many=True)},
        errors=[404],
        operation_id="datasets_rounds_list",
    )
    @action(detail=True)
    def rounds(self, request: Request, name: str) -> Response:
        page = self.paginate_queryset(self._rounds())
        return self.get_paginated_response(RoundOut(page, many=True).data)

    @describe("Show a round and its progress", answers={200: RoundOut}, errors=[404], parameters=[ROUND_ID])
    @action(detail=True, url_path=ONE, url_name="round")
    def round(self, request: Request, name: str, round_id: str) -> Response:
        return Response(RoundOut(self._round(round_id)).data)

    @describe(
        "List the files of a round",
        answers={200: RoundFileOut(many=True)},
        errors=[400, 404],
        parameters=[ROUND_ID, FILE_STATE],
        operation_id="datasets_rounds_files_list",
        description="None before they are listed, and once the copy is gone from the node's store.",
    )
    @action(detail=True, url_path=f"{ONE}/files", url_name="round-files", filter_backends=[])
    def round_files(self, request: Request, name: str, round_id: str) -> Response:
        state = request.query_params.get("state", "")
        if state not in {"", *round_files.STATES}:
            raise InvalidFields({"state": f"Choose one of {', '.join(round_files.STATES)}."})
        rows = round_files.files_of(self._round(round_id), state).rows
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(RoundFileOut(page, many=True).data)

    @describe(
        "Read the log of a round, oldest line first",
        answers={200: RoundLineOut(many=True)},
        errors=[404],
        parameters=[ROUND_ID],
        operation_id="datasets_rounds_log_list",
    )
    @action(detail=True, url_path=f"{ONE}/log", url_name="round-log", filter_backends=[])
    def round_log(self, request: Request, name: str, round_id: str) -> Response:
        page = self.paginate_queryset(RoundLine.objects.filter(round=self._round(round_id)))
        return self.get_paginated_response(RoundLineOut(page, many=True).data)

    @_verb("Cancel a round", "cancel")
    def cancel(self, request: Request, name: str, round_id: str) -> Response:
        return self.accepted(round_actions.cancel(self._round(round_id), actor=self.actor))

    @_verb("Pause a round; what was copied stays", "pause")
    def pause(self, request: Request, name: str, round_id: str) -> Response:
        return self.accepted(round_actions.pause(self._round(round_id), actor=self.actor))

    @_verb("Resume a round that is paused", "resume")
    def resume(self, request: Request, name: str, round_id: str) -> Response:
        return self.accepted(round_actions.resume(self._round(round_id), actor=self.actor))

    @_verb(
        "Try a round again that failed or was cancelled",
        "retry",
        "Gives a new round, or the one of this path that is under way. Location is where to follow it.",
    )
    def retry(self, request: Request, name: str, round_id: str) -> Response:
        return self.accepted(round_actions.retry(self._round(round_id), actor=self.actor))

    def accepted(self, job: Round) -> Response:
        """Location is where to follow it."""
        names = (job.dataset.name, job.pk)
        return self.located(RoundOut(job).data, "api-dataset-round", *names, status=status.HTTP_202_ACCEPTED)

    def _rounds(self) -> Any:
        return Round.objects.filter(dataset=self.get_object()).select_related("dataset__team")

    def _round(self, round_id: str) -> Round:
        job: Round = get_object_or_404(self._rounds(), pk=int(round_id))
        return job
