"""The page of usage, its CSV and the small charts: everybody has them, and each sees what they may see."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from services.views.usage import RANGES
from services.views.usage_charts import METRICS, amount, ceiling
from tests.services import used

ClientOf = Callable[[User | None], Client]
HX = {"HX-Request": "true"}
ADDRESSES = ("usage", "usage-chart", "usage-export")


def text(client: Client, name: str, **query: str) -> str:
    answer = client.get(reverse(name), query)
    assert answer.status_code == 200
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ADDRESSES)
def test_everybody_has_the_page_and_nobody_is_sent_to_sign_in(
    calls: None,
    alice: User,
    bob: User,
    charlie: User,
    admin: User,
    client_of: ClientOf,
    name: str,
) -> None:
    for user in (alice, bob, charlie, admin):
        assert client_of(user).get(reverse(name)).status_code == 200
    assert client_of(None).get(reverse(name))["Location"].startswith(reverse("login"))


@pytest.mark.parametrize("name", ["usage", "usage-export"])
@pytest.mark.parametrize("by", ["service", "key", "team"])
def test_each_sees_their_own_teams_usage(
    calls: None,
    alice: User,
    bob: User,
    charlie: User,
    admin: User,
    client_of: ClientOf,
    name: str,
    by: str,
) -> None:
    mark = {"service": "echo", "key": f"name of {used.VISION}", "team": "vision"}[by]
    for user, sees in ((alice, True), (bob, True), (admin, True), (charlie, False)):
        shown = text(client_of(user), name, by=by)
        assert (mark in shown) is sees, user


def test_the_small_chart_of_anothers_service_is_empty(
    calls: None,
    alice: User,
    charlie: User,
    client_of: ClientOf,
) -> None:
    assert "UTC: succeeded" in text(client_of(alice), "usage-chart", service="echo")
    shown = text(client_of(charlie), "usage-chart", service="echo")
    assert "UTC: succeeded" not in shown and "No data in this range" in shown


@pytest.mark.parametrize(
    ("metric", "range_"), [*((metric, "24h") for metric in METRICS), *(("latency", range_) for range_ in RANGES)]
)
def test_every_metric_and_every_range_is_drawn(
    calls: None,
    admin: User,
    client_of: ClientOf,
    metric: str,
    range_: str,
) -> None:
    shown = text(client_of(admin), "usage", metric=metric, range=range_)
    assert "No data in this range" not in shown or metric == "tokens"
    assert METRICS[metric].label in shown and "style=" not in shown
    assert '<td class="number">11</td>' in shown


def test_a_poll_gets_only_what_changes(calls: None, alice: User, client_of: ClientOf) -> None:
    part = client_of(alice).get(reverse("usage"), headers=HX).content.decode()
    assert "<html" not in part and "echo" in part


def test_a_group_leads_to_what_it_consists_of(calls: None, alice: User, client_of: ClientOf) -> None:
    shown = text(client_of(alice), "usage", metric="latency")
    assert "?range=24h&amp;metric=latency&amp;by=key&amp;service=echo" in shown
    narrowed = text(client_of(alice), "usage", by="key", service="echo")
    assert f"name of {used.VISION}" in narrowed and "Only service" in narrowed
    assert f"name of {used.ADMIN}" not in narrowed and "(a key of another team)" in narrowed


ODD = [
    {"range": "9y"},
    {"metric": "secrets"},
    {"by": "password"},
    {"service": "\0"},
    {"service": "x" * 5000},
    {"key": "'"},
    {"team": "<script>alert(1)</script>"},
]


@pytest.mark.parametrize("query", ODD)
def test_an_address_may_say_anything(
    calls: None,
    alice: User,
    client_of: ClientOf,
    query: dict[str, str],
) -> None:
    for name in ADDRESSES:
        assert "<script>alert" not in text(client_of(alice), name, **query)


def test_the_csv_has_a_line_for_each_interval(
    calls: None,
    alice: User,
    client_of: ClientOf,
    tmp_path: Path,
) -> None:
    rows = list(csv.DictReader(io.StringIO(text(client_of(alice), "usage-export", by="service", range="24h"))))
    assert {row["service"] for row in rows} == {"echo"}
    assert [sum(int(row[name]) for row in rows) for name in ("requests", "client_errors")] == [11, 5]
    assert rows[0]["from"].endswith("Z") and rows[0]["p50_ms"]
    answer = client_of(alice).get(reverse("usage-export"))
    assert answer["Content-Type"].startswith("text/csv") and "attachment" in answer["Content-Disposition"]


def test_a_name_of_a_key_is_no_formula_and_no_markup(
    calls: None,
    team: object,
    alice: User,
    client_of: ClientOf,
    tmp_path: Path,
) -> None:
    from services.models import ApiKey

    ApiKey.objects.create(team=team, name="=1+<b>1", key_id="oddkey000000", digest="o" * 64)
    used.call(tmp_path, 1, service="echo", client="oddkey000000")
    assert "'=1+<b>1" in text(client_of(alice), "usage-export", by="key")
    assert "=1+&lt;b&gt;1" in text(client_of(alice), "usage", by="key")


def test_figures_are_short_and_scales_round() -> None:
    assert [ceiling(value) for value in (0, 0.3, 1, 3, 5.5, 11, 999)] == [1, 0.5, 1, 5, 10, 20, 1000]
    assert amount(1234567, "") == "1,234,567" and amount(0.5, "ms") == "0.5 ms" and amount(2048, "B") == "2.0 KiB"
