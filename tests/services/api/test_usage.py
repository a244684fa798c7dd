"""Usage over REST, checked against the OpenAPI document by the client."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from console.models import Team
from services.models import ApiKey
from tests.rest import Api, who_may
from tests.services import used


def groups(api: Api, **query: Any) -> dict[str, int]:
    answer = api.get("usage/", **query)
    assert answer.status == 200, answer.data
    return {point["group"]: point["used"]["requests"] for point in answer.data["results"]}


def test_who_may_look(calls: None, people: dict[str, Api]) -> None:
    assert who_may(people, lambda api: api.get("usage/")) == {
        "nobody": 401,
        "stranger": 200,
        "teammate": 200,
        "owner": 200,
    }
    assert groups(people["owner"]) == groups(people["teammate"]) == {"echo": 11}
    assert groups(people["stranger"]) == {"asr": 3, "(another team)": 2}
    assert groups(people["stranger"], service="echo") == {}


def test_a_key_needs_the_scope_read_and_sees_its_team(
    calls: None,
    key_for: Callable[..., tuple[Api, ApiKey]],
) -> None:
    assert key_for("infer")[0].get("usage/").status == 403
    assert groups(key_for("read")[0]) == {"echo": 11}
    assert groups(key_for("read", all_teams=True)[0]) == {"echo": 11, "asr": 3, "": 1}
    assert groups(key_for("read", services=["echo"])[0]) == {"echo": 11}


def test_a_point_says_how_requests_ended_and_how_long_they_took(calls: None, owner: Api) -> None:
    (point,) = owner.get("usage/", group_by="key", key=used.VISION).data["results"]
    assert point["name"] == f"name of {used.VISION}" and point["at"] is None
    assert point["used"]["succeeded"] == 4 and point["used"]["bytes_out"] == 400
    assert 10 <= point["used"]["latency_ms"]["p50"] <= 20 and point["used"]["latency_ms"]["mean"] == 15
    assert owner.get("usage/", group_by="key", key=f"isk_{used.VISION}").data["results"] == [point]
    refused = owner.get("usage/", group_by="key", key="keyless-call").data
    assert refused["results"] == []  # it is no team's key


@pytest.mark.parametrize("interval", ["minute", "hour", "day"])
def test_points_lie_at_the_beginning_of_their_interval(
    calls: None,
    owner: Api,
    tmp_path: Path,
    interval: str,
) -> None:
    used.call(tmp_path, 7, service="echo", at=used.now() - timedelta(days=1))
    start = (used.now() - timedelta(hours=24.5)).isoformat()
    answer = owner.get("usage/", interval=interval, **{"from": start}).data
    counts = [point["used"]["requests"] for point in answer["results"]]
    assert counts[0] == 7 and sum(counts[1:]) == 11
    ending = {"minute": ":00Z", "hour": ":00:00Z", "day": "T00:00:00Z"}[interval]
    assert all(point["at"].endswith(ending) for point in answer["results"])
    assert answer["start"].endswith(ending) and answer["end"].endswith(ending)


def test_what_was_counted_in_the_first_second_of_a_minute_is_there_at_once(
    owner: Api, team: Team, other_team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used.world(team, other_team)
    minute = used.now().replace(second=0, microsecond=0)
    used.call(tmp_path, 3, service="echo", at=minute)
    monkeypatch.setattr("services.api.usage.time.time", minute.timestamp)
    assert groups(owner) == {"echo": 3}


def test_a_time_may_be_given_with_any_offset(calls: None, owner: Api) -> None:
    for start in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00+05:00", "2026-01-01 00:00", "2026-01-01T00:00:00 05:00"):
        assert groups(owner, **{"from": start}) == {"echo": 11}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"from": "yesterday"}, {"from"}),
        ({"to": "9999-99-99"}, {"to"}),
        ({"group_by": "password"}, {"group_by"}),
        ({"interval": "second", "to": "x"}, {"interval", "to"}),
        ({"service": "a\0"}, {"service"}),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, {"from"}),
        ({"from": "2020-01-01T00:00:00Z", "interval": "minute"}, {"interval"}),
        ({"from": "0001-01-01T00:00:00Z"}, {"from"}),
    ],
)
def test_what_is_wrong_is_named(owner: Api, query: dict[str, str], fields: set[str]) -> None:
    assert set(owner.get("usage/", **query).errors) == fields
    csv_too = owner.client.get("/api/v1/usage/", {**query, "format": "csv"})
    assert csv_too.status_code == 400 and set(csv_too.json()["errors"]) == fields


def test_the_same_comes_as_csv(calls: None, owner: Api, people: dict[str, Api]) -> None:
    for ask in (
        {"query_params": {"format": "csv", "group_by": "key"}},
        {"query_params": {"group_by": "key"}, "headers": {"Accept": "text/csv"}},
    ):
        answer = owner.client.get("/api/v1/usage/", **ask)
        assert answer.status_code == 200 and answer["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
        assert {row["key"]: row["requests"] for row in rows} == {
            "keyless-call": "5",
            used.VISION: "4",
            "(another team)": "2",
        }
    assert people["nobody"].client.get("/api/v1/usage/", {"format": "csv"}).status_code == 401
