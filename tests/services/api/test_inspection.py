"""Events, logs, metrics and the test inference of a service over REST."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from services import states
from services.clients.inference.call import Answer, Message, Output, Response, Timing
from services.models import ApiKey, Replica, Service
from services.panel import tensors as panel_tensors
from tests.rest import Api, who_may
from tests.services import used


@pytest.fixture
def replica(service: Service) -> Replica:
    assert service.target is not None
    return Replica.objects.create(
        service=service,
        revision=service.target,
        index=0,
        node="local",
        state=Replica.READY,
        pid=4711,
        started_at=timezone.now() - timedelta(minutes=1),
        restarts=2,
    )


@pytest.fixture
def log(replica: Replica) -> str:
    """What the replica has written; the text is as long in bytes as in characters."""
    folder = settings.HOME.logs / "replicas"
    folder.mkdir(parents=True, exist_ok=True)
    text = "first line\nsecond line\n"
    path = folder / f"{replica.process_name}.log"
    path.write_text(text)
    return text


def test_events_are_listed_newest_first(owner: Api, service: Service) -> None:
    owner.post("services/echo/stop/")
    events = owner.get("services/echo/events/").data["results"]
    assert [(event["kind"], event["old"], event["new"]) for event in events] == [
        ("state", "PREHEATING", "STOPPING"),
        ("created", "", "PREHEATING"),
    ]
    assert events[0]["actor"] == "alice"
    assert owner.get("services/echo/events/", page=2, page_size=1).data["results"] == events[1:]
    assert owner.get("services/echo/events/", page=9).status == 404


def test_a_log_is_read_and_followed(owner: Api, replica: Replica, log: str) -> None:
    end = owner.get("services/echo/logs/").data
    assert end == {"replica": "svc-echo-r1-0", "replicas": ["svc-echo-r1-0"], "text": log, "next_offset": len(log)}
    assert owner.get("services/echo/logs/", replica="0", offset=6, limit=4).data["text"] == log[6:10]
    after = owner.get("services/echo/logs/", replica="svc-echo-r1-0", offset=len(log)).data
    assert after["text"] == "" and after["next_offset"] == len(log)


def test_the_log_of_a_process_that_is_gone_is_kept(owner: Api, replica: Replica, log: str) -> None:
    replica.delete()
    assert owner.get("services/echo/logs/").data["text"] == log
    assert owner.get("services/echo/logs/", replica="0").status == 404


def test_no_other_file_can_be_read_as_a_log(owner: Api, replica: Replica, log: str) -> None:
    for name in ("svc-other-r1-0", "../secret", "svc-echo-r1-0/../x", "svc-echo-r1-0\n", "/etc/passwd", "svc-echo-r1-"):
        assert "svc-echo-r1-0" in owner.get("services/echo/logs/", replica=name).errors["replica"][0]
    assert set(owner.get("services/echo/logs/", offset="-1").errors) == {"offset"}
    assert set(owner.get("services/echo/logs/", limit="all").errors) == {"limit"}


def test_metrics_say_what_is_known_and_what_is_not(owner: Api, replica: Replica) -> None:
    metrics = owner.get("services/echo/metrics/").data
    assert metrics["replicas_wanted"] == 1 and metrics["replicas_ready"] == 1 and metrics["restarts"] == 2
    assert metrics["replicas"][0]["pid"] == 4711 and 55 < metrics["replicas"][0]["uptime_seconds"] < 120
    assert "GPU use" in metrics["not_collected"] and metrics["last_hour"]["requests"] == 0


def test_metrics_say_what_was_used_in_the_last_hour(owner: Api, service: Service, tmp_path: Path) -> None:
    used.call(tmp_path, 3, service="echo", at=used.now() - timedelta(minutes=58))
    used.call(tmp_path, 2, service="echo", status=503)
    used.call(tmp_path, 4, service="echo", at=used.now() - timedelta(minutes=61))
    hour = owner.get("services/echo/metrics/").data["last_hour"]
    assert (hour["requests"], hour["succeeded"], hour["server_errors"]) == (5, 3, 2)


def test_who_may_send_a_test_inference(people: dict[str, Api], service: Service) -> None:
    # A viewer may: then it is the service's state that speaks.
    body: dict[str, Any] = {"protocol": "http", "inputs": []}
    assert who_may(people, lambda api: api.post("services/echo/probe/", body)) == {
        "nobody": 401,
        "stranger": 404,
        "teammate": 409,
        "owner": 409,
    }
    assert states.PREHEATING in people["owner"].post("services/echo/probe/", body).data["detail"]


def test_a_test_inference_needs_the_scope_infer(key_for: Callable[..., tuple[Api, ApiKey]], service: Service) -> None:
    body: dict[str, Any] = {"inputs": []}
    reader, _ = key_for("read", "manage")
    assert reader.post("services/echo/probe/", body).status == 403
    caller, _ = key_for("infer", services=["echo"])
    assert caller.post("services/echo/probe/", body).status == 409


def test_what_a_model_answers_is_shown_even_when_json_has_no_such_number(
    owner: Api, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sending itself is tested against the real gateway and Triton in tests/integration.
    output = Output("OUT", "FP32", (3,), [0.5, math.nan, -math.inf], total=3)
    message = Message("POST /v2/models/echo/infer", {"content-type": "application/json"}, "{}", 2)
    answer = Answer(True, "200 OK", "", (Response((output,), at_ms=1.5),), Timing(wait_ms=1.5), message, message)
    result = panel_tensors.ProbeResult("http", answer, {"curl": "curl"})
    monkeypatch.setattr(panel_tensors, "probe", lambda *args, **kwargs: result)
    shown = owner.post("services/echo/probe/", {"inputs": [{"name": "IN", "data": [1]}]})
    assert shown.status == 200 and shown.data["outputs"][0]["values"] == [0.5, "nan", "-inf"]


def test_a_key_tests_a_service_with_itself_and_a_person_with_the_panels_key(
    owner: Api, service: Service, key_for: Callable[..., tuple[Api, ApiKey]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a key that may send ten requests a minute would send as many tests as it likes."""
    sent: list[Any] = []
    answer = Answer(True, "200 OK", "", (), Timing(), Message("POST /", {}, "", 0), Message("200", {}, "", 0))

    def probe(service: Service, payload: dict[str, Any], **more: Any) -> panel_tensors.ProbeResult:
        sent.append(payload.get("api_key"))
        return panel_tensors.ProbeResult("http", answer, {})

    monkeypatch.setattr(panel_tensors, "probe", probe)
    caller, _ = key_for("infer")
    body: dict[str, Any] = {"inputs": []}
    for api in (caller, owner):
        assert api.post("services/echo/probe/", body).status == 200
    caller.post("services/echo/probe/", {**body, "api_key": "isk_another"})
    assert sent == [caller.key, None, "isk_another"]
