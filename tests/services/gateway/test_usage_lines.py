"""What a line of the access log counts as. The lines are as a real Envoy wrote them for such requests."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import usage_lines
from services.gateway.usage_lines import BUCKETS, MEASURES, Row, add_up, ended
from services.models import Usage
from tests.services.usage_log import NOON, line


def measured(text: bytes) -> dict[str, int]:
    """All sums of the text by name, without those that are 0."""
    rows = add_up(text).rows.values()
    return {name: sum(values) for name, *values in zip(MEASURES, *rows, strict=True) if sum(values)}


def test_a_line_is_one_request_of_its_minute_key_service_and_door() -> None:
    sums = add_up(line(at=NOON + timedelta(seconds=59.9), ms=7, door="openai", prompt_tokens=3, completion_tokens=4))
    noon = int(NOON.timestamp())
    assert list(sums.rows) == [Row(noon, "abcdefghijkl", "echo", "openai")]
    assert sums.last_use == {"abcdefghijkl": noon + 59}
    assert (sums.requests, sums.torn, sums.unreadable) == (1, 0, 0)


def test_amounts_are_added_whatever_way_they_are_spelled() -> None:
    text = line(prompt_tokens=3.0) + line(bridge_prompt_tokens="4", bridge_completion_tokens="5")
    odd = line(prompt_tokens="-", completion_tokens=float("nan"), bytes_in=-5, bytes_out=True, ms=1e300)
    totals = measured(text + odd)
    assert totals["prompt_tokens"] == 7 and totals["completion_tokens"] == 5
    assert totals["bytes_in"] == 20 and totals["bytes_out"] == 200 and totals["ms"] == 10


def test_what_is_not_known_is_empty_and_still_counted() -> None:
    sums = add_up(line(client=None, service=None, status=404, door=None) + line(client="-", service="-", door="?"))
    assert {(row.key_id, row.service, row.door) for row in sums.rows} == {("", "", "")}
    assert sums.requests == 2 and sums.last_use == {}


OK: dict[str, Any] = {"status": 200, "grpc_status": None, "flags": "-", "details": "via_upstream"}


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [
        ("", {}),
        ("", {"grpc_status": 0}),
        ("", {"status": 304}),
        ("limited", {"status": 429, "flags": "RL"}),
        ("limited", {"grpc_status": 8, "flags": "RL", "details": "local_rate_limited"}),
        ("limited", {"grpc_status": 8}),
        ("", {"grpc_status": "0"}),
        ("", {"grpc_status": "-"}),
        ("server_errors", {"grpc_status": "14"}),
        ("limited", {"status": 503, "flags": "UO", "details": "upstream_reset_before_response_started{overflow}"}),
        ("client_errors", {"grpc_status": 8, "details": "grpc_field_extraction_FAILED_PRECONDITION{REQUEST_BUFFER}"}),
        ("client_errors", {"status": 413}),
        ("client_errors", {"status": 401}),
        ("client_errors", {"grpc_status": 16, "details": "rbac_access_denied_matched_policy[none]"}),
        ("client_errors", {"status": 400, "flags": "DPE"}),
        ("server_errors", {"grpc_status": 14}),
        ("server_errors", {"status": 503}),
        ("server_errors", {"flags": "UC"}),
        ("server_errors", {"status": 0}),
        ("cancelled", {"flags": "DR", "grpc_status": 2}),
        ("cancelled", {"status": 0, "flags": "DC"}),
        ("cancelled", {"status": 0, "flags": "UT,DC"}),
        ("cancelled", {"grpc_status": 1}),
    ],
)
def test_a_request_ends_in_one_way(outcome: str, fields: dict[str, Any]) -> None:
    assert ended({**OK, **fields}) == outcome
    totals = measured(line(**{**OK, **fields}))
    assert {name for name in usage_lines.OUTCOMES if totals.get(name)} == ({outcome} if outcome else set())
    assert sum(totals.get(name, 0) for name in BUCKETS) == (0 if outcome else 1)


def test_latency_falls_into_the_bucket_whose_bound_it_is_under() -> None:
    for ms, bucket in ((0, "under_1"), (1, "under_2"), (2, "under_5"), (59999, "under_60000"), (60000, "longer")):
        assert measured(line(ms=ms))[bucket] == 1


def test_a_line_torn_by_a_kill_does_not_take_the_next_one_with_it() -> None:
    whole = line(client="aaaaaaaaaaaa")
    for cut in range(1, len(whole) - 1):
        sums = add_up(whole[:cut] + line(client="bbbbbbbbbbbb") + line(client="cccccccccccc"))
        assert (sums.requests, sums.torn, sums.unreadable) == (2, 1, 0), cut
        assert {row.key_id for row in sums.rows} == {"bbbbbbbbbbbb", "cccccccccccc"}


def test_no_path_can_pass_for_a_line() -> None:
    forged = '/v2/{"time":"2026-11-20T12:00:00.000Z","status":200,"client":"x"}'
    assert add_up(line(path=forged)).requests == 1
    assert add_up(line(path="/x{") + line()).requests == 2
    assert add_up(line(path=forged)[:-20] + b"\n").requests == 0


@pytest.mark.parametrize(
    "text", [b"nonsense\n", b"{}\n", b"[1]\n", b"\0\0\0\n", b'{"status":200,"time":"soon"}\n', b"\xff}\n"]
)
def test_what_says_nothing_is_counted_as_such(text: bytes) -> None:
    sums = add_up(text + line())
    assert (sums.requests, sums.unreadable) == (1, 1)


@given(st.binary(max_size=300))
def test_any_bytes_can_stand_between_two_lines(noise: bytes) -> None:
    assert add_up(line() + noise + b"\n" + line()).requests == 2


ANYTHING = st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.lists(st.none()))


@given(st.dictionaries(st.sampled_from([*json.loads(line())]), ANYTHING))
def test_a_line_may_hold_anything(odd: dict[str, Any]) -> None:
    sums = add_up(json.dumps({**json.loads(line()), **odd}).encode() + b"\n")
    assert sums.requests + sums.unreadable == 1
    assert all(0 <= amount < 1 << 62 for values in sums.rows.values() for amount in values)


def test_the_table_has_a_column_for_every_measure() -> None:
    columns = [field.name for field in Usage._meta.get_fields() if field.name not in {"id", "series", "span", "start"}]
    assert columns == list(MEASURES)
