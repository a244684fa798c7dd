"""Services in the REST API: create, change, delete, and the verbs. What is only looked at is in inspection.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console.accounts.principal import INFER
from console.errors import Forbidden, InvalidFields, collected
from console.web.openapi import describe
from console.web.rest import LargeJson, Resource, finite, object_of, team_for, unknown_fields
from services import states
from services.actions import checks
from services.actions import services as actions
from services.api.authentication import presented_key
from services.api.inspection import Inspection
from services.api.serializers.probe import PROBE_EXAMPLES, ProbeBody, ProbeOut
from services.api.serializers.services import (
    CREATE_EXAMPLES,
    RollbackBody,
    RolloutBody,
    ServiceBody,
    ServiceChange,
    ServiceOut,
    StrategyBody,
)
from services.models import Service
from services.panel import tensors as panel_tensors
from services.queries import service_status
from services.specs import ROLLING

ACCEPTED = status.HTTP_202_ACCEPTED
DECISIONS = {"replace_now": actions.replace_now, "cancel": actions.cancel_rollout}


class ServiceFilter(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    state = filters.MultipleChoiceFilter(choices=states.CHOICES)
    team = filters.CharFilter(field_name="team__name")
    queue = filters.CharFilter(field_name="target__spec__queue")
    framework = filters.CharFilter(field_name="target__spec__framework")

    class Meta:
        model = Service
        fields = ("state", "team", "queue", "framework")


def verb(summary: str, **more: Any) -> Callable[[Any], Any]:
    return describe(summary, answers={202: ServiceOut}, errors=[400, 404, 409], **more)


@extend_schema_view(
    list=describe("List the services that you have access to", answers={200: ServiceOut(many=True)}, errors=[400]),
    retrieve=describe("Show a service", answers={200: ServiceOut}, errors=[404]),
    create=describe("Create a service", answers={201: ServiceOut}, body=ServiceBody, examples=CREATE_EXAMPLES),
    partial_update=describe(
        "Change or scale a service", answers={200: ServiceOut}, body=ServiceChange, errors=[404, 409]
    ),
    destroy=describe("Stop and delete a service", answers={202: ServiceOut}, errors=[404]),
)
class Services(Inspection, Resource):
    queryset = Service.objects.none()
    serializer_class = ServiceOut
    lookup_field = "name"
    filterset_class = ServiceFilter
    open_to_restricted_keys = True

    def get_queryset(self) -> Any:
        return service_status.with_related(Service.objects.visible_to(self.actor))

    def service(self) -> Service:
        service: Service = get_object_or_404(self.get_queryset(), name=self.kwargs["name"])
        return service

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([self._json(service) for service in page or ()])

    def create(self, request: Request) -> Response:
        data = object_of(request)
        _refuse_unknown(data, ServiceBody().fields, check=checks.parse_all)
        if self.actor.restricted:
            raise Forbidden(f"{self.actor.label} is only for services that exist, so it cannot create one.")
        service = actions.create(data, team=team_for(self.actor, data.get("team")), actor=self.actor)
        return self.located(self._fresh(service), "api-service-detail", service.name)

    def retrieve(self, request: Request, name: str) -> Response:
        return Response(self._json(self.service()))

    def partial_update(self, request: Request, name: str) -> Response:
        service, changes = self.service(), object_of(request)
        _refuse_unknown(changes, {**ServiceBody().fields, **ServiceChange().fields})
        return Response(self._fresh(actions.edit(service, changes, actor=self.actor)))

    def destroy(self, request: Request, name: str) -> Response:
        service = self.service()
        actions.delete(service, actor=self.actor)
        return Response(self._fresh(service), status=ACCEPTED)

    @verb("Start a stopped or failed service")
    @action(detail=True, methods=["post"])
    def start(self, request: Request, name: str) -> Response:
        return self._accepted(actions.start(self.service(), actor=self.actor))

    @verb("Stop a service; its model files stay")
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, name: str) -> Response:
        return self._accepted(actions.stop(self.service(), actor=self.actor))

    @describe(
        "Restart a service without dropping requests", answers={202: ServiceOut}, body=StrategyBody, errors=[404, 409]
    )
    @action(detail=True, methods=["post"])
    def restart(self, request: Request, name: str) -> Response:
        service, data = self.service(), object_of(request)
        _refuse_unknown(data, StrategyBody().fields)
        return self._accepted(actions.restart(service, actor=self.actor, strategy=data.get("strategy", ROLLING)))

    @describe(
        "Decide on a revision that waits to be rolled out",
        answers={202: ServiceOut},
        body=RolloutBody,
        errors=[404, 409],
        description="`replace_now`: it takes the place of the revision that serves, which ends first. "
        "`cancel`: the revision that serves stays.",
    )
    @action(detail=True, methods=["post"])
    def rollout(self, request: Request, name: str) -> Response:
        service, data = self.service(), object_of(request)
        _refuse_unknown(data, RolloutBody().fields)
        decide = DECISIONS.get(str(data.get("action")))
        if decide is None:
            raise InvalidFields({"action": f"Must be {' or '.join(DECISIONS)}."})
        return self._accepted(decide(service, actor=self.actor))

    @describe("Go back to an earlier revision", answers={202: ServiceOut}, body=RollbackBody, errors=[404, 409])
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, name: str) -> Response:
        service, data = self.service(), object_of(request)
        _refuse_unknown(data, RollbackBody().fields)
        strategy = data.get("strategy", ROLLING)
        number = data.get("revision", service.target_revision.number - 1)
        if not isinstance(number, int) or isinstance(number, bool) or number >= 1 << 31:
            raise InvalidFields({"revision": "Must be the number of a revision."})
        return self._accepted(actions.rollback(service, number, actor=self.actor, strategy=strategy))

    @describe(
        "Send one test inference through the gateway",
        answers={200: ProbeOut},
        body=ProbeBody,
        errors=[404, 409, 503],
        examples=PROBE_EXAMPLES,
        description="Needs the scope infer. A key sends it with itself, within its own limits. "
        "An answer of 4xx or 5xx from the service is a result, not an error.",
    )
    @action(detail=True, methods=["post"], required_scopes={"POST": INFER}, parser_classes=[LargeJson])
    def probe(self, request: Request, name: str) -> Response:
        host = service_status.gateway_host(request.get_host())
        service, payload = self.service(), dict(object_of(request))
        if self.actor.key is not None:
            # With the key of the panel it would pass its own limits.
            payload["api_key"] = payload.get("api_key") or presented_key(request)
        result = panel_tensors.probe(service, payload, actor=self.actor, gateway_host=host)
        return Response(finite(result.to_json()))

    def _json(self, service: Service) -> dict[str, Any]:
        return service_status.summary(service, gateway_host=service_status.gateway_host(self.request.get_host()))

    def _fresh(self, service: Service) -> dict[str, Any]:
        """As the database has it now; an action may leave related rows on the object behind."""
        # A deleted one may be gone already: then what is known of it is what it was a moment ago.
        return self._json(service_status.with_related(Service.objects.filter(pk=service.pk)).first() or service)

    def _accepted(self, service: Service) -> Response:
        return Response(self._fresh(service), status=ACCEPTED)


def _refuse_unknown(
    data: Mapping[str, Any], fields: Mapping[str, Any], *, check: Callable[[Mapping[str, Any]], object] | None = None
) -> None:
    """Raises InvalidFields for fields that there are not, together with what `check` finds wrong in the others."""
    returned = tuple(set(ServiceOut().fields.keys()) - set(ServiceBody().fields.keys()))
    errors = unknown_fields(data, fields, fixed=returned)
    if errors and check:
        with collected(errors):
            check(data)
    if errors:
        raise InvalidFields(errors)
