"""What Prometheus may know: usage from the beginning on, and the state of services, queues, replicas and preheats.

Counters come from the database's totals, so no restart of anything makes one fall. Labels are bounded by the services
that there are: keys are no label, and a deleted service is left out. Requests that came to none have service="".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Sum
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from datasets import wiring
from datasets.actions import refusals
from datasets.models import Dataset, Round
from datasets.preheat.store import upkeep
from services import states
from services.gateway.usage_lines import BOUNDS_MS, MEASURES, OUTCOMES
from services.models import LogPosition, Queue, Replica, Service, Usage
from services.models.usage import ALWAYS
from services.queries import dashboard, savings
from services.usage.measured import Measured

LABELS = ("service", "team", "door")
CODES = {"client_errors": "4xx", "server_errors": "5xx", "limited": "429", "cancelled": "cancelled"}
"""How a request ended, as the label `code`; 2xx otherwise. gRPC's codes are counted with their like."""


def text(unread_bytes: int, failed_writes: int = 0) -> bytes:
    """In Prometheus' text format. `unread_bytes`: how far the counting is behind the gateway's log."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(unread_bytes, failed_writes))
    return generate_latest(registry)


class Figures(Collector):
    def __init__(self, unread_bytes: int, failed_writes: int) -> None:
        self.unread_bytes, self.failed_writes = unread_bytes, failed_writes

    def collect(self) -> Iterator[Metric]:
        yield from _usage()
        yield from _metering(self.unread_bytes, self.failed_writes)
        yield from _services()
        yield from _preheats()
        yield from _queues()
        yield _refused()


def _usage() -> Iterator[Metric]:
    requests = CounterMetricFamily("inference_requests", "Requests by how they ended.", labels=(*LABELS, "code"))
    tokens = CounterMetricFamily("inference_tokens", "Tokens of prompts and completions.", labels=(*LABELS, "kind"))
    size = CounterMetricFamily("inference_bytes", "Bytes of requests and answers.", labels=(*LABELS, "direction"))
    errors = CounterMetricFamily("inference_errors", "Requests that failed or were refused.", labels=LABELS)
    took = HistogramMetricFamily(
        "inference_request_duration_seconds", "How long requests took that ended well.", labels=LABELS
    )
    for labels, used in _totals():
        requests.add_metric([*labels, "2xx"], used.succeeded)
        for outcome in OUTCOMES:
            requests.add_metric([*labels, CODES[outcome]], getattr(used, outcome))
        tokens.add_metric([*labels, "prompt"], used.prompt_tokens)
        tokens.add_metric([*labels, "completion"], used.completion_tokens)
        size.add_metric([*labels, "in"], used.bytes_in)
        size.add_metric([*labels, "out"], used.bytes_out)
        errors.add_metric(labels, used.errors)
        took.add_metric(labels, _cumulative(used), sum_value=used.ms / 1000)
    yield from (requests, errors, tokens, size, took)


def _totals() -> list[tuple[list[str], Measured]]:
    present = [("", 0), *Service.objects.order_by().values_list("name", "team_id")]
    columns = [f"series__{name}" for name in ("service", "service_team_id", "service_team", "door")]
    rows = Usage.objects.filter(span=ALWAYS).order_by().values(*columns)
    rows = rows.annotate(**{f"sum_{name}": Sum(name) for name in MEASURES})
    records = rows.values_list(*columns, *(f"sum_{name}" for name in MEASURES)).order_by(*columns)
    now = set(present)
    return [
        ([service, team, door], Measured.of(sums))
        for service, team_id, team, door, *sums in records
        if (service, team_id) in now or not team_id
    ]


def _cumulative(used: Measured) -> list[tuple[str, float]]:
    bounds = [*(str(bound / 1000) for bound in BOUNDS_MS), "+Inf"]
    return [(bound, float(sum(used.buckets[: place + 1]))) for place, bound in enumerate(bounds)]


def _metering(unread_bytes: int, failed_writes: int) -> Iterator[Metric]:
    sums = LogPosition.objects.aggregate(torn=Sum("torn", default=0), unreadable=Sum("unreadable", default=0))
    lines = CounterMetricFamily(
        "console_metering_broken_lines", "Lines of the gateway's log that were not whole.", labels=("kind",)
    )
    yield _filled(lines, sums.items())
    yield GaugeMetricFamily(
        "console_metering_unread_bytes", "Bytes of the access log not yet counted.", value=unread_bytes
    )
    yield GaugeMetricFamily(
        "console_metering_failed_writes",
        "Writes of the gateway's log that failed since it started; their requests are not counted.",
        value=failed_writes,
    )


def _services() -> Iterator[Metric]:
    services = GaugeMetricFamily("console_services", "Services by state.", labels=("state",))
    counted = dict(Service.objects.order_by().values_list("state").annotate(Count("pk")))
    yield _filled(services, ((state, counted.get(state, 0)) for state in states.ALL))
    replicas = GaugeMetricFamily("console_replicas", "Replicas of a service by state.", labels=("service", "state"))
    rows = Replica.objects.order_by().values_list("service__name", "state").annotate(count=Count("pk"))
    yield _filled(replicas, rows.order_by("service__name", "state"))
    restarts = GaugeMetricFamily(
        "console_replica_restarts", "How often present replicas ended unexpectedly.", labels=("service",)
    )
    ended = Replica.objects.order_by().values_list("service__name").annotate(count=Sum("restarts"))
    yield _filled(restarts, ended.order_by("service__name"))


def _preheats() -> Iterator[Metric]:
    """Bytes are by dataset, so that a deleted one takes its own counter with it and makes no other fall."""
    rounds = GaugeMetricFamily("console_preheat_rounds", "Preparations of model files by state.", labels=("state",))
    yield _filled(rounds, Round.objects.order_by().values_list("state").annotate(Count("pk")).order_by("state"))
    moved = CounterMetricFamily(
        "console_preheat_bytes", "Bytes that preparations fetched from where a dataset is.", labels=("dataset",)
    )
    sums = Dataset.objects.annotate(moved=F("bytes_of_pruned") + Sum("rounds__bytes_copied", default=0))
    yield _filled(moved, sums.order_by("name").values_list("name", "moved"))
    store = GaugeMetricFamily(
        "console_store_bytes", "Bytes of model files in a node's store, each content once.", labels=("node",)
    )
    yield _filled(store, [(settings.NODE_NAME, upkeep.used_bytes(wiring.store()))])
    saved = GaugeMetricFamily(
        "console_gpu_seconds_saved",
        "GPUs x replicas x seconds of each preheat of a present service: they were not held meanwhile.",
        labels=("service",),
    )
    yield _filled(saved, sorted(savings.gpu_seconds(Service.objects.all()).items()))


def _queues() -> Iterator[Metric]:
    waiting = GaugeMetricFamily("console_queue_waiting", "Services that wait in a queue.", labels=("queue",))
    running = GaugeMetricFamily("console_queue_running", "Replicas that hold a share of it.", labels=("queue",))
    queues = dashboard.queue_uses() if Queue.objects.exists() else ()
    yield _filled(waiting, ((queue.name, queue.waiting) for queue in queues))
    yield _filled(running, ((queue.name, queue.running) for queue in queues))


def _refused() -> Metric:
    refused = CounterMetricFamily(
        "console_sources_refused", "What sources of model files gave that would do harm.", labels=("reason",)
    )
    return _filled(refused, refusals.totals().items())


def _filled(family: Any, rows: Iterable[Any]) -> Metric:
    """`rows`: the labels, and then the value."""
    for *labels, value in rows:
        family.add_metric(labels, value)
    metric: Metric = family
    return metric
