"""What model files say, and whether the team trusts what of them runs as code, in the REST API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console.web.openapi import describe
from console.web.rest import Body, Resource, parse
from datasets.actions import trust
from datasets.models import Dataset
from datasets.queries import reports

PATH = OpenApiParameter("path", OpenApiTypes.STR, description="A folder or file of the dataset; empty is its root.")


class TrustBody(Body):
    trusted = serializers.BooleanField(help_text="Whether the team trusts what of the files runs as code.")
    digest = serializers.CharField(
        required=False,
        help_text="`digest` of the dataset as you saw it: 409 when something else is there by now. Left out, whatever "
        "is there now is trusted.",
    )
    later_changes = serializers.BooleanField(
        required=False,
        help_text="Trust code that changes at the location later, too. false: what is copied by now, and the first "
        "copy of each other path.",
    )


class TrustOut(serializers.ModelSerializer[Dataset]):
    trusted = serializers.BooleanField()
    trust_covers_changes = serializers.BooleanField()

    class Meta:
        model = Dataset
        fields = ("name", "trusted", "trust_covers_changes", "trusted_by", "trusted_at")


class ReportOut(serializers.Serializer[Any]):
    copied_at = serializers.DateTimeField(
        allow_null=True, help_text="When the copy that was read was made; null when the source was read."
    )
    report = serializers.DictField(
        allow_null=True,
        help_text="kind, summary, facts, inputs, outputs, problems, notes, executable, comparison, suggested (a whole "
        "config.pbtxt), memory (bytes), models. null when the files are too large to inspect at the source.",
    )


class WithFiles(Resource):
    # Two more operations of a dataset. (No docstring: it would appear in the OpenAPI document.)

    @describe(
        "Set whether the team trusts code in the files of a dataset",
        answers={200: TrustOut},
        body=TrustBody,
        errors=[404, 409],
        description="Only an owner of the team can. Without it no service starts whose files run as code: Python "
        "models, pickles, code that a model brings. Trust holds for the location that the dataset points to, and for "
        "the code as it was copied from there.",
    )
    @action(detail=True, methods=["post"])
    def trust(self, request: Request, name: str) -> Response:
        dataset = self.get_object()
        body = parse(TrustBody, request)
        if not body["trusted"]:
            return Response(TrustOut(trust.withdraw(dataset, actor=self.actor)).data)
        later = body.get("later_changes", False)
        trust.trust(dataset, actor=self.actor, seen=body.get("digest"), later_changes=later)
        return Response(TrustOut(dataset).data)

    @describe(
        "Inspect the model files at a path",
        answers={200: ReportOut},
        errors=[400, 404],
        parameters=[PATH],
        description="Read from the copy on this node when there is one, else through the source.",
    )
    @action(detail=True, pagination_class=None)
    def report(self, request: Request, name: str) -> Response:
        seen = reports.read(self.get_object(), request.query_params.get("path", ""))
        report = seen.report.to_json() if seen.report else None
        return Response({"copied_at": seen.copied_at, "report": report})
