"""Each request in the log is counted once, whatever happens to the log, and to who counts, meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from console.models import Team
from services.clients.envoy_admin import EnvoyAdmin
from services.gateway.envoy import names
from services.models import ApiKey, LogPosition, Service, Usage, UsageSeries
from services.models.usage import ALWAYS, DAY, HOUR, MINUTE, SPANS
from services.usage import access_log, metering, metering_rows
from tests.services.usage_log import NOON, line

pytestmark = pytest.mark.django_db
KEY = "abcdefghijkl"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / names.ACCESS_LOG
    path.parent.mkdir()
    return path


@pytest.fixture
def echo(team: Team) -> Service:
    ApiKey.objects.create(team=team, name="ci", key_id=KEY, digest="d" * 64)
    return Service.objects.create(team=team, name="echo", state_since=timezone.now())


def append(log: Path, *lines: bytes) -> None:
    with log.open("ab") as file:
        file.write(b"".join(lines))


def total(span: int = ALWAYS) -> int:
    return Usage.objects.filter(span=span).aggregate(found=Sum("requests"))["found"] or 0


def test_what_was_counted_is_not_counted_again(log: Path, echo: Service) -> None:
    append(log, line(), line(service=None, status=404))
    assert metering.catch_up(log.parents[1]) == 2
    assert metering.catch_up(log.parents[1]) == 0
    append(log, line())
    assert metering.catch_up(log.parents[1]) == 1
    assert [total(span) for span in SPANS] == [3, 3, 3, 3]


def test_a_series_says_whose_key_called_whose_service(log: Path, echo: Service, team: Team) -> None:
    append(log, line(), line(client="unknown-key0", service="gone"), line(client=None, service=None))
    metering.catch_up(log.parents[1])
    rows = UsageSeries.objects.values_list("key_name", "key_team", "service", "service_team", "service_team_id")
    assert set(rows) == {("ci", "vision", "echo", "vision", team.pk), ("", "", "gone", "", 0), ("", "", "", "", 0)}


def test_requests_go_to_their_own_minute_hour_and_day(log: Path, echo: Service) -> None:
    append(log, *(line(at=NOON + timedelta(minutes=minute)) for minute in (0, 0.5, 1, 61, 24 * 60)))
    metering.catch_up(log.parents[1])
    rows = Usage.objects.order_by("start")
    sizes = {span: list(rows.filter(span=span).values_list("requests", flat=True)) for span in SPANS}
    assert sizes == {MINUTE: [2, 1, 1, 1], HOUR: [3, 1, 1], DAY: [4, 1], ALWAYS: [5]}
    noon = int(NOON.timestamp())
    assert Usage.objects.filter(span=MINUTE, start=noon, requests=2).exists()
    assert Usage.objects.filter(span=DAY, start=noon - noon % DAY, requests=4).exists()


def test_history_stays_with_the_team_that_had_the_service(log: Path, echo: Service, other_team: Team) -> None:
    append(log, line())
    metering.catch_up(log.parents[1])
    echo.delete()
    append(log, line(status=404))  # the last lines come after the row is gone
    metering.catch_up(log.parents[1])
    Service.objects.create(team=other_team, name="echo", state_since=timezone.now())
    append(log, line(), line())
    metering.catch_up(log.parents[1])
    rows = Usage.objects.filter(span=ALWAYS).values_list("series__service_team", "requests")
    assert dict(rows) == {"vision": 2, "speech": 2}


def test_the_last_use_of_a_key_is_that_of_its_calls(log: Path, echo: Service) -> None:
    append(log, line(at=NOON), line(at=NOON + timedelta(minutes=5)), line(at=NOON + timedelta(minutes=2)))
    metering.catch_up(log.parents[1])
    key = ApiKey.objects.get(key_id=KEY)
    assert key.last_used_at == NOON + timedelta(minutes=5)
    append(log, line(at=NOON - timedelta(days=1)))
    metering.catch_up(log.parents[1])
    key.refresh_from_db()
    assert key.last_used_at == NOON + timedelta(minutes=5)


def test_an_unfinished_line_waits_for_its_end(log: Path, echo: Service) -> None:
    whole = line()
    append(log, whole, whole[:50])
    assert metering.catch_up(log.parents[1]) == 1
    append(log, whole[50:])
    assert metering.catch_up(log.parents[1]) == 1
    assert LogPosition.objects.get().torn == 0


def test_a_file_without_a_whole_line_waits(log: Path) -> None:
    assert metering.catch_up(log.parents[1]) == 0  # no file
    append(log, line()[:40])
    assert metering.catch_up(log.parents[1]) == 0
    assert LogPosition.objects.count() == 0


def test_torn_and_unreadable_lines_are_counted_apart(log: Path, echo: Service) -> None:
    append(log, line()[:40], line(), b"nonsense\n", line())
    assert metering.catch_up(log.parents[1]) == 2
    assert LogPosition.objects.values_list("lines", "torn", "unreadable").get() == (2, 1, 1)


def test_a_file_that_is_replaced_by_another_is_read_from_its_beginning(log: Path, echo: Service) -> None:
    append(log, line(), line(), line())
    metering.catch_up(log.parents[1])
    log.write_bytes(line() + line())  # the same inode, emptied and written anew
    assert metering.catch_up(log.parents[1]) == 2
    log.unlink()
    append(log, line())
    assert metering.catch_up(log.parents[1]) == 1


def test_a_copy_of_a_log_counts_as_the_log(log: Path, echo: Service, tmp_path: Path) -> None:
    append(log, line(), line())
    metering.catch_up(log.parents[1])
    moved = tmp_path / "moved"
    shutil.copytree(log.parents[1], moved, ignore=shutil.ignore_patterns("moved"))
    assert metering.catch_up(moved) == 0


def test_a_log_that_begins_with_a_line_of_no_request_is_told_from_another(log: Path, echo: Service) -> None:
    bad = line(request_id=None, status=400)
    append(log, bad, line())
    metering.catch_up(log.parents[1])
    log.rename(log.with_name("access.log.1"))
    append(log, bad, line())
    assert metering.catch_up(log.parents[1]) == 2


def test_something_endless_without_a_newline_is_passed_over(
    log: Path, echo: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "CHUNK", 4096)
    append(log, line(), b"x" * 20_000, b"\n", line())
    assert metering.catch_up(log.parents[1]) == 2
    assert LogPosition.objects.get().offset == log.stat().st_size


def test_a_call_ends_after_its_time_and_the_next_goes_on(
    log: Path, echo: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "CHUNK", 1000)
    append(log, *(line() for _ in range(20)))
    counts = []
    while (counted := metering.catch_up(log.parents[1], seconds=0)) > 0:
        counts.append(counted)
    assert len(counts) > 5 and sum(counts) == 20 == total()


@pytest.fixture
def no_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    """That Envoy opens its log again when told is tested in tests/integration/gateway; here there is none."""
    monkeypatch.setattr(EnvoyAdmin, "reopen_logs", lambda self: None)


def test_a_file_is_kept_until_all_of_it_is_counted(log: Path, echo: Service, no_envoy: None) -> None:
    for _ in range(6):
        append(log, line(), line())
        assert access_log.rotate(log.parents[1], limit=10, kept=3)
    assert len(metering.log_files(log.parents[1])) == 6
    assert metering.catch_up(log.parents[1]) == 12
    assert not access_log.rotate(log.parents[1], limit=10, kept=3)
    names_left = [path.name for path in metering.log_files(log.parents[1])]
    assert names_left == ["access.log.3", "access.log.2", "access.log.1"]
    assert metering.catch_up(log.parents[1]) == 0


def test_what_is_behind_is_known_in_bytes(log: Path, echo: Service) -> None:
    append(log, line(), line())
    assert metering.unread_bytes(log.parents[1]) == log.stat().st_size
    metering.catch_up(log.parents[1])
    assert metering.unread_bytes(log.parents[1]) == 0


def test_minutes_and_hours_go_after_their_time_and_days_stay(log: Path, echo: Service, settings: Settings) -> None:
    now = datetime.now(UTC)
    append(log, *(line(at=now - timedelta(days=days)) for days in (0, 29, 31, 399, 401)))
    metering.catch_up(log.parents[1])
    metering.prune()
    assert [total(span) for span in (MINUTE, HOUR, DAY, ALWAYS)] == [2, 4, 5, 5]


def test_positions_of_files_long_gone_are_forgotten_and_their_counts_kept(log: Path, echo: Service) -> None:
    append(log, line(), b"nonsense\n")
    metering.catch_up(log.parents[1])
    LogPosition.objects.update(updated_at=timezone.now() - timedelta(days=31))
    metering.prune()
    assert list(LogPosition.objects.values_list("identity", "lines", "unreadable")) == [(LogPosition.FORGOTTEN, 1, 1)]


class Crash(BaseException):
    """As if the process had been killed: nothing of ours may catch it."""


@contextlib.contextmanager
def crashing(where: str) -> Iterator[None]:
    """The process ends before or after one of its steps. A real kill -9 between any two lines: tests/integration."""
    module, name, before = {
        "before-read": (metering.usage_lines, "add_up", True),
        "after-read": (metering.usage_lines, "add_up", False),
        "after-advance": (metering, "_advance", False),
        "before-rows": (metering_rows, "_upsert", True),
        "after-rows": (metering_rows, "_upsert", False),
        "after-used": (metering_rows, "_mark_used", False),
    }[where]
    real: Callable[..., object] = getattr(module, name)

    def die(*args: object) -> object:
        if not before:
            real(*args)
        raise Crash

    setattr(module, name, die)
    try:
        yield
    finally:
        setattr(module, name, real)


LINE, TORN, NOISE, ROTATE, COUNT = "line", "torn", "noise", "rotate", "count"
STEPS = st.one_of(
    st.sampled_from([LINE, LINE, LINE, TORN, NOISE, ROTATE, COUNT]),
    st.sampled_from(["before-read", "after-read", "after-advance", "before-rows", "after-rows", "after-used"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=30), chunk=st.sampled_from([700, 2000, 1 << 20]))
def test_the_totals_are_the_lines_of_any_log(no_envoy: None, echo: Service, steps: list[str], chunk: int) -> None:
    Usage.objects.all().delete()
    LogPosition.objects.all().delete()
    written, real = 0, metering.CHUNK
    directory = Path(tempfile.mkdtemp())
    log = directory / names.ACCESS_LOG
    log.parent.mkdir()
    metering.CHUNK = chunk  # type: ignore[misc]
    try:
        for step in steps:
            if step in (LINE, TORN):
                torn = line()[: written % 200 + 20] if step == TORN else b""
                append(log, torn, line(at=NOON + timedelta(seconds=written)))
                written += 1
            elif step == NOISE:
                append(log, os.urandom(40).replace(b"\n", b"") + b"\n")
            elif step == ROTATE:
                access_log.rotate(directory, limit=10, kept=1)
            elif step == COUNT:
                metering.catch_up(directory)
            else:
                with crashing(step), contextlib.suppress(Crash):
                    metering.catch_up(directory)
            assert total() <= written
        metering.catch_up(directory)
        assert [total(span) for span in SPANS] == [written] * 4
        assert (LogPosition.objects.aggregate(found=Sum("lines"))["found"] or 0) == written
        assert (LogPosition.objects.aggregate(found=Sum("torn"))["found"] or 0) == steps.count(TORN)
    finally:
        metering.CHUNK = real  # type: ignore[misc]
        shutil.rmtree(directory)
