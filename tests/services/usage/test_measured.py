"""What follows from counts: quantiles from a histogram, and sums of sums."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.usage_lines import BOUNDS_MS, MEASURES, add_up
from services.usage.measured import Measured
from tests.services.usage_log import line


def of_latencies(*latencies: int) -> Measured:
    sums = add_up(b"".join(line(ms=ms) for ms in latencies)).rows.values()
    return Measured.of([sum(values) for values in zip(*sums, strict=True)])


def test_the_columns_of_the_table_become_the_fields() -> None:
    used = Measured.of(range(len(MEASURES)))
    assert (used.requests, used.ms, used.buckets[0], used.buckets[-1]) == (0, 9, 10, len(MEASURES) - 1)


def test_nothing_has_no_latency() -> None:
    assert Measured().p50 is None and Measured().mean_ms is None


def test_a_quantile_lies_within_the_bucket_of_the_true_one() -> None:
    used = of_latencies(*range(100))
    assert used.p50 == 50 and 90 <= (used.p95 or 0) <= 100 and used.mean_ms == 49.5


def test_of_the_longest_only_the_lower_bound_is_known() -> None:
    assert of_latencies(90_000).p50 == BOUNDS_MS[-1]


@given(st.lists(st.integers(0, 120_000), min_size=1, max_size=40))
def test_quantiles_rise_and_stay_near_the_truth(latencies: list[int]) -> None:
    used = of_latencies(*latencies)
    p50, p95, p99 = used.p50 or 0, used.p95 or 0, used.p99 or 0
    assert 0 <= p50 <= p95 <= p99
    true = sorted(latencies)[(len(latencies) + 1) // 2 - 1]
    bounds = [0, *BOUNDS_MS]
    low = max(bound for bound in bounds if bound <= true)
    assert low <= p50 <= min([bound for bound in bounds if bound > true], default=BOUNDS_MS[-1])


def test_sums_add_up() -> None:
    both = of_latencies(1, 5) + of_latencies(7)
    assert both == of_latencies(1, 5, 7)
