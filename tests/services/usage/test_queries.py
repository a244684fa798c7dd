"""Who sees what of usage, by service, key and team."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from console.accounts.principal import Principal, for_user
from services.models import Service
from services.models.usage import DAY, HOUR, MINUTE
from services.usage import queries
from services.usage.queries import OTHER_TEAM, Selection
from tests.services import used


def selection(group_by: str = "service", **more: object) -> Selection:
    end = (int(time.time()) // HOUR + 1) * HOUR
    return Selection(**{"start": end - DAY, "end": end, "group_by": group_by, **more})  # type: ignore[arg-type]


def seen(actor: Principal, group_by: str, **more: object) -> dict[str, int]:
    return {point.group: point.used.requests for point in queries.read(actor, selection(group_by, **more))}


def test_an_administrator_sees_everything(calls: None, admin: User) -> None:
    actor = for_user(admin)
    assert seen(actor, "service") == {"echo": 11, "asr": 3, "": 1}
    assert seen(actor, "key") == {"keyless-call": 5, used.VISION: 4, used.SPEECH: 3, used.ADMIN: 2, "": 1}
    assert seen(actor, "team") == {"vision": 11, "speech": 3, "": 1}


def test_a_team_sees_the_calls_to_its_services_and_not_whose_keys_others_have(calls: None, bob: User) -> None:
    actor = for_user(bob)
    assert seen(actor, "service") == {"echo": 11}
    assert seen(actor, "key") == {"keyless-call": 5, used.VISION: 4, OTHER_TEAM: 2}
    assert seen(actor, "team") == {"vision": 11}
    labels = " ".join(point.label for point in queries.read(actor, selection("key")))
    assert used.ADMIN not in labels and f"name of {used.VISION}" in labels


def test_a_team_sees_the_calls_of_its_keys_and_not_what_others_services_are_called(calls: None, charlie: User) -> None:
    actor = for_user(charlie)
    assert seen(actor, "service") == {"asr": 3, OTHER_TEAM: 2}
    assert seen(actor, "key") == {used.SPEECH: 3, used.ADMIN: 2}
    assert seen(actor, "team") == {"speech": 3, OTHER_TEAM: 2}


@pytest.mark.parametrize("only", [{"service": "echo"}, {"key": used.VISION}, {"team": "vision"}])
def test_asking_by_name_for_what_is_anothers_finds_nothing(calls: None, charlie: User, only: dict[str, str]) -> None:
    for group_by in queries.GROUPS:
        assert seen(for_user(charlie), group_by, **only) == {}


def test_one_may_ask_for_one_service_key_or_team(calls: None, admin: User, alice: User) -> None:
    assert seen(for_user(alice), "key", service="echo") == {"keyless-call": 5, used.VISION: 4, OTHER_TEAM: 2}
    assert seen(for_user(alice), "service", key=used.VISION) == {"echo": 4}
    assert seen(for_user(admin), "key", team="speech") == {used.SPEECH: 3}


def test_nobody_and_whoever_is_in_no_team_see_nothing(calls: None, db: None) -> None:
    stranger = User.objects.create_user("dora")
    assert seen(for_user(stranger), "service") == {}
    assert seen(Principal("nobody", scopes=frozenset()), "service") == {}


def test_a_key_for_one_service_sees_that_service_only(calls: None, admin: User) -> None:
    asr = Service.objects.get(name="asr")
    only = Principal("key", is_admin=True, services=frozenset({asr.pk}))
    assert seen(only, "service") == {"asr": 3}
    asr.delete()
    Service.objects.create(team=asr.team, name="asr", state_since=asr.state_since)
    assert seen(only, "service") == {}, "the next service of that name is another one"


def test_sums_go_by_the_interval(calls: None, admin: User, tmp_path: Path) -> None:
    used.call(tmp_path, 6, service="asr", at=used.now() - timedelta(hours=3))
    points = queries.read(for_user(admin), selection(step=HOUR, service="asr"))
    assert [point.used.requests for point in points] == [6, 3]
    first, last = (point.at for point in points)
    assert first and last and timedelta(hours=2) < last - first < timedelta(hours=4) and first.minute == 0
    half = queries.over_time(for_user(admin), selection(step=1800))
    assert sum(each.requests for each in half.values()) == 21 and all(at % 1800 == 0 for at in half)


def test_each_choice_of_rows_gives_the_same_totals(calls: None, admin: User) -> None:
    totals = {rows: seen(for_user(admin), "service", rows=rows) for rows in (MINUTE, HOUR)}
    assert totals[MINUTE] == totals[HOUR]
    today = Selection(0, 1 << 33, "service", rows=DAY)
    assert {point.group: point.used.requests for point in queries.read(for_user(admin), today)} == totals[HOUR]


def test_rows_are_as_fine_as_they_are_kept(settings: Settings) -> None:
    end = int(time.time())
    assert Selection(end - DAY, end).span == MINUTE
    assert Selection(end - 31 * DAY, end - 30 * DAY).span == HOUR
    assert Selection(end - 30 * DAY, end).span == HOUR
    assert Selection(end - 500 * DAY, end - 450 * DAY).span == DAY
    assert [Selection(0, end, step=step).span for step in (60, 1800, 10800, 86400)] == [MINUTE, MINUTE, HOUR, DAY]


def test_what_was_deleted_keeps_its_history(calls: None, bob: User) -> None:
    Service.objects.filter(name="echo").delete()
    assert seen(for_user(bob), "service") == {"echo": 11}
