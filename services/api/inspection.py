"""What can be looked at of a service in the REST API: events, revisions, logs and what is known of its replicas."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console.errors import InvalidFields, NotFound
from console.web.openapi import describe
from console.web.rest import Resource, number
from services import wiring
from services.api.serializers.services import EventOut, LogOut, MetricsOut, RevisionOut
from services.api.serializers.usage import UsedOut
from services.models import Replica, Service
from services.queries import savings, service_status
from services.specs import process_name, process_of
from services.usage import queries as usage

LOG_BYTES = 65536
NOT_COLLECTED: Final = ("CPU and memory use of a replica", "GPU use")
REPLICA = OpenApiParameter(
    "replica", OpenApiTypes.STR, description="Name of its process, such as svc-detector-r2-0, or its index."
)
OFFSET = OpenApiParameter("offset", OpenApiTypes.INT, description="Bytes; left out, the end of the log is given.")
LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description="Bytes, 1048576 at most; 65536 by default.")


class Inspection(Resource):
    # The looking half of the services view.

    def service(self) -> Service:
        raise NotImplementedError

    @describe(
        "List the events of a service, newest first",
        answers={200: EventOut(many=True)},
        errors=[404],
        operation_id="services_events_list",
    )
    @action(detail=True, filter_backends=[])
    def events(self, request: Request, name: str) -> Response:
        page = self.paginate_queryset(self.service().events.all())
        return self.get_paginated_response(EventOut(page, many=True).data)

    @describe(
        "List the revisions of a service, newest first",
        answers={200: RevisionOut(many=True)},
        errors=[404],
        operation_id="services_revisions_list",
    )
    @action(detail=True, filter_backends=[])
    def revisions(self, request: Request, name: str) -> Response:
        page = self.paginate_queryset(self.service().revisions.select_related("service"))
        return self.get_paginated_response(RevisionOut(page, many=True).data)

    @describe(
        "Read the log of a replica",
        answers={200: LogOut},
        errors=[400, 404],
        parameters=[REPLICA, OFFSET, LIMIT],
        description="Also of a process that is gone: its log is kept. Without `replica`, the newest one's.",
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def logs(self, request: Request, name: str) -> Response:
        service = self.service()
        present = list(service.replica_set.all())
        process = _process(service, present, request.query_params.get("replica", ""))
        offset = number(request, "offset", 0, most=1 << 40) if "offset" in request.query_params else None
        limit = max(4, number(request, "limit", LOG_BYTES, most=1 << 20))
        chunk = wiring.engine().logs(process, offset, limit)
        names = [replica.process_name for replica in present]
        return Response({"replica": process, "replicas": names, "text": chunk.text, "next_offset": chunk.next_offset})

    @describe(
        "Show what the console knows of a service's replicas, and what was used of it in the last hour",
        answers={200: MetricsOut},
        errors=[404],
        description="More of what was used: `/api/v1/usage/?service=<name>`. What is not known is in `not_collected`.",
    )
    @action(detail=True, pagination_class=None, filter_backends=[])
    def metrics(self, request: Request, name: str) -> Response:
        service = self.service()
        rows = list(service.replica_set.all())
        return Response(
            {
                "state": service.state,
                "seconds_in_state": _seconds_since(service.state_since),
                "gpu_seconds_saved": savings.gpu_seconds(Service.objects.filter(pk=service.pk)).get(service.name, 0.0),
                "replicas_wanted": service.replicas,
                "replicas_ready": sum(row.state == Replica.READY for row in rows),
                "restarts": sum(row.restarts for row in rows),
                "replicas": [
                    {
                        **service_status.replica_json(row),
                        "uptime_seconds": _seconds_since(row.started_at) if row.started_at else None,
                    }
                    for row in rows
                ],
                "last_hour": UsedOut(usage.last_hour(self.actor, service.name)).data,
                "not_collected": NOT_COLLECTED,
            }
        )


def _seconds_since(moment: datetime) -> float:
    return round(max(0.0, (timezone.now() - moment).total_seconds()), 1)


def _process(service: Service, present: list[Replica], name: str) -> str:
    """The process whose log is meant. Raises InvalidFields for a name that is none of this service's, NotFound."""
    if not name:
        if present:
            return present[-1].process_name
        newest = service.revisions.filter(number__lte=service.target.number if service.target else 0).first()
        if newest is None:
            raise NotFound(f"{service.name} has no log yet.")
        return process_name(service.name, newest.process_number, 0)
    if name.isascii() and name.isdigit():
        names = [replica.process_name for replica in present if replica.index == int(name[:9])]
        if not names:
            raise NotFound(f"{service.name} has no replica {name[:9]} at present.")
        return names[-1]
    if process_of(service.name, name) is None:
        example = process_name(service.name, 1, 0)
        raise InvalidFields({"replica": f"Must be the index of a replica, or a name such as {example}."})
    return name
