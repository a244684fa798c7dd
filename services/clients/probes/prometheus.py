"""Reads counters of a replica's own metrics page, with the parser of prometheus-client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from services.clients.probes import exchange
from services.errors import ProbeError
from services.listeners import Address

MAX_PAGE_BYTES: Final = 16 << 20


def total(address: Address, is_included: Callable[[str], bool], timeout: float = 2.0) -> float:
    """The sum of all counters of /metrics whose name (without `_total`) `is_included`, over all labels; of a histogram,
    how many values it has.

    Raises ProbeError when there is no such page, or none that can be read.
    """
    status, page = exchange.get(address, "/metrics", timeout, MAX_PAGE_BYTES)
    if status != 200:
        raise ProbeError(f"The server at {address} shows no metrics (status {status}).")
    try:
        return sum_of(page.decode(), is_included)
    except ValueError as error:
        raise ProbeError(f"The metrics of the server at {address} cannot be read: {error}.") from error


def sum_of(page: str, is_included: Callable[[str], bool]) -> float:
    """Sum the included samples of a page in Prometheus' text format. Raises ValueError."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        if family.type in {"counter", "histogram"} and is_included(family.name)
        for sample in family.samples
        if _counts(family.type, sample.name)
    )


def _counts(kind: str, name: str) -> bool:
    """Not `_created`: it says when, and not how many."""
    return name.endswith("_count") if kind == "histogram" else not name.endswith("_created")
