"""One service as pages and the REST API read it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from console.models import Team
from services import states
from services.models import GatewayRevision, Replica, Service
from services.queries import service_status
from services.specs import ServiceSpec

SPEC = ServiceSpec(framework="triton", dataset="samples", model_path="mnist", queue="default").to_json()


@pytest.fixture
def service(team: Team) -> Service:
    new_service = Service.objects.create(team=team, name="digits", state_since=timezone.now(), created_by="alice")
    new_service.target = new_service.revisions.create(number=1, spec=SPEC, created_by="alice")
    new_service.save()
    return new_service


def replica(service: Service, index: int, state: str) -> Replica:
    started = timezone.now() if state == Replica.READY else None
    return Replica.objects.create(
        service=service,
        revision=service.target,
        index=index,
        node="local",
        state=state,
        started_at=started,
    )


def condition(service: Service, kind: str) -> dict[str, Any]:
    conditions = [c.to_json() for c in service_status.conditions(service) if c.type == kind]
    assert len(conditions) == 1
    return conditions[0]


def test_a_summary_has_what_was_sent_and_what_became_of_it(service: Service) -> None:
    summary = service_status.summary(service, gateway_host="10.0.0.5:8080")
    assert {key: summary[key] for key in SPEC} == SPEC
    assert (summary["name"], summary["team"], summary["state"], summary["revision"]) == (
        "digits",
        "vision",
        states.PREHEATING,
        1,
    )
    endpoints = summary["endpoints"]
    assert endpoints["http"] == "http://10.0.0.5:8080/v2/models/digits"
    assert (endpoints["grpc"], endpoints["openai"]) == ("10.0.0.5:8080", "")
    assert (
        endpoints["v1"] == "http://10.0.0.5:8080/v1/models/digits:predict"
        and endpoints["host"] == "digits.localhost:8080"
    )
    assert summary["serving_revision"] is None and summary["preheat"] is None and summary["replica_list"] == []


def test_conditions_follow_the_replicas(service: Service) -> None:
    service.replicas = 2
    assert condition(service, "QuotaGranted")["status"] == "False"
    replica(service, 0, Replica.READY)
    replica(service, 1, Replica.STARTING)
    assert condition(service, "QuotaGranted")["status"] == "True"
    assert condition(service, "ReplicasReady")["message"] == "1 of 2 replicas answer."
    assert condition(service, "ReplicasReady")["reason"] == "SomeAnswer"


def test_a_queued_service_says_what_it_waits_for(service: Service) -> None:
    service.state, service.message = states.QUEUED, "2nd in queue gpu-small: needs 1 GPU, 0 free."
    quota_granted = condition(service, "QuotaGranted")
    assert (quota_granted["status"], quota_granted["reason"], quota_granted["message"]) == (
        "False",
        "Queued",
        service.message,
    )


def test_a_rollout_names_both_revisions(service: Service) -> None:
    service.serving = service.target
    assert condition(service, "RolledOut")["status"] == "True"
    service.target = service.revisions.create(number=2, spec=SPEC, created_by="alice")
    assert condition(service, "RolledOut")["message"] == "Revision 1 serves until revision 2 answers."


@pytest.mark.parametrize(
    ("host_header", "host"),
    [("10.0.0.5:8000", "10.0.0.5"), ("console.example", "console.example"), ("[::1]:8000", "[::1]")],
)
def test_the_gateway_is_on_the_host_that_the_console_was_reached_at(host_header: str, host: str) -> None:
    assert service_status.gateway_host(host_header) == f"{host}:{settings.GATEWAY_PORT}"


def test_many_services_cost_no_more_queries_than_one(
    team: Team, service: Service, django_assert_num_queries: Any
) -> None:
    for number in range(3):
        name = f"other-{number}"
        other = Service.objects.create(team=team, name=name, state_since=timezone.now(), created_by="alice")
        other.target = other.revisions.create(number=1, spec=SPEC, created_by="alice")
        other.save()
    replica(service, 0, Replica.READY)
    with django_assert_num_queries(2):
        assert (
            len(
                [
                    service_status.summary(s, gateway_host="h:1")
                    for s in service_status.with_related(Service.objects.all())
                ]
            )
            == 4
        )


def test_a_change_that_is_not_at_the_gateway_is_not_called_done(service: Service) -> None:
    def published() -> dict[str, Any]:
        row = service_status.with_related(Service.objects.filter(pk=service.pk)).get()
        return condition(row, "Reachable")

    assert published()["reason"] not in {"NotPublished", "Refused"}
    GatewayRevision.objects.create(error=f"{GatewayRevision.LEFT_OUT} another. Envoy refuses it.")
    assert published()["reason"] != "NotPublished", "that is about another service"
    GatewayRevision.objects.create(error="No space left on device")
    assert (published()["status"], published()["reason"]) == ("Unknown", "NotPublished")
    assert "No space left" in published()["message"]
    Service.objects.update(gateway_message="Envoy refuses it: -5")
    assert (published()["reason"], "-5" in published()["message"]) == ("Refused", True)
    GatewayRevision.objects.create()
    Service.objects.update(gateway_message="")
    assert published()["reason"] not in {"NotPublished", "Refused"}
