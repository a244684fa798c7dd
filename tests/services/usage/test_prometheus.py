"""The figures for Prometheus: parsed by its own parser, never falling, and only for administrators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from console.accounts.principal import for_user
from console.models import Team
from services.actions import delivery, keys
from services.actions.delivery import Delivery
from services.models import Queue, Service
from services.usage import prometheus
from tests.services import used

ClientOf = Callable[[User | None], Client]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: bytes | None = None) -> Samples:
    families = text_string_to_metric_families((text or prometheus.text(7)).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Samples, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    hits = [amount for (each, has), amount in metrics.items() if each == name and labels.items() <= dict(has).items()]
    assert hits, (name, labels)
    return sum(hits)


def test_requests_tokens_bytes_and_latency_are_counted(calls: None) -> None:
    metrics = samples()
    echo = {"service": "echo", "team": "vision"}
    assert value(metrics, "inference_requests_total", **echo, code="2xx") == 6
    assert value(metrics, "inference_requests_total", **echo, code="4xx") == 5
    assert value(metrics, "inference_requests_total", service="", code="4xx") == 1
    assert value(metrics, "inference_errors_total", **echo) == 5
    assert value(metrics, "inference_bytes_total", **echo, direction="in") == 110
    assert value(metrics, "inference_request_duration_seconds_count", **echo, door="v2-rest") == 4
    assert value(metrics, "inference_request_duration_seconds_bucket", **echo, door="v2-rest", le="0.01") == 0
    assert value(metrics, "inference_request_duration_seconds_bucket", **echo, door="v2-rest", le="0.02") == 4
    assert value(metrics, "inference_request_duration_seconds_sum", **echo, door="v2-rest") == pytest.approx(0.06)


def test_the_state_of_the_console_is_there_too(calls: None) -> None:
    Queue.objects.create(name="gpu", cpu=1, memory_gib=1)
    metrics = samples()
    assert value(metrics, "console_services", state="PREHEATING") == 2
    assert value(metrics, "console_queue_waiting", queue="gpu") == 0
    assert value(metrics, "console_metering_unread_bytes") == 7
    assert value(metrics, "console_metering_broken_lines_total", kind="torn") == 0


def test_counters_never_fall_and_no_label_is_a_key(calls: None, tmp_path: Path) -> None:
    before = samples()
    used.call(tmp_path, 3, service="echo")
    after = samples()
    counters = [place for place in before if place[0].endswith(("_total", "_count", "_bucket", "_sum"))]
    assert counters and all(after[place] >= before[place] for place in counters)
    assert not any(used.VISION in str(place) for place in after)


def test_a_deleted_service_is_left_out_and_a_namesake_of_another_team_starts_from_nothing(
    calls: None, other_team: Team, tmp_path: Path
) -> None:
    Service.objects.filter(name="echo").delete()
    assert not any(("service", "echo") in labels for _, labels in samples())
    Service.objects.create(team=other_team, name="echo", state_since=used.now())
    used.call(tmp_path, 1, service="echo")
    assert value(samples(), "inference_requests_total", service="echo") == 1


def test_who_may_read_them(
    calls: None, client_of: ClientOf, alice: User, bob: User, charlie: User, admin: User
) -> None:
    answers = {user: client_of(user).get("/metrics").status_code for user in (None, charlie, bob, alice, admin)}
    assert answers == {None: 401, charlie: 403, bob: 403, alice: 403, admin: 200}
    assert client_of(admin).post("/metrics").status_code == 405


def test_a_scraper_uses_a_key_for_every_team_that_may_read(
    calls: None, team: Team, alice: User, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "carry_out", lambda rows: Delivery())

    def scrape(*scopes: str, all_teams: bool = True) -> int:
        actor = for_user(admin if all_teams else alice)
        new_key = keys.create(team=team, name="scraper", scopes=scopes, all_teams=all_teams, actor=actor)
        answer = Client().get("/metrics", headers={"Authorization": f"Bearer {new_key.key}"})
        assert new_key.key.encode() not in answer.content
        return answer.status_code

    assert (scrape("read"), scrape("infer"), scrape("read", all_teams=False)) == (200, 403, 403)
    assert Client().get("/metrics", headers={"X-API-Key": "isk_wrong"}).status_code == 401
    assert Client().get("/metrics?api_key=isk_wrong").status_code == 401
