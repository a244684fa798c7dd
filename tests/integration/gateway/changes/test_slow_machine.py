"""Changes while replicas, or Envoy itself, are held up: a busy machine fails no request of a service that was well."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from subprocess import Popen
from typing import Any

import pytest

from services.gateway import retired_clusters, status
from services.gateway.envoy import names
from tests.integration.gateway.stage import Stage
from tests.servers.gateway.rig import until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
LATE = 3.0
"""Seconds: no machine that is well takes so long, and one that is overrun does."""


@contextmanager
def stopped(process: Popen[bytes]) -> Iterator[None]:
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def published_clusters(stage: Stage) -> set[str]:
    clusters: list[dict[str, Any]] = json.loads((stage.gateway.directory / names.CLUSTERS).read_bytes())["resources"]
    return {cluster["name"] for cluster in clusters}


def test_a_changed_service_whose_only_replica_is_late_with_its_probe_fails_no_request(fresh_stage: Stage) -> None:
    others = [service for service in fresh_stage.snapshot.services if service.name != "asr"]
    changed = replace(snapshots.ready("asr", fresh_stage.second.endpoint, team="speech"), concurrency=100)

    def ask() -> int:
        return fresh_stage.gateway.call("POST", "/v2/models/asr/infer", b"{}", X_API_Key=snapshots.ADMIN).status

    with ThreadPoolExecutor(100) as callers:
        with stopped(fresh_stage.second.process):
            fresh_stage.gateway.publish(replace(fresh_stage.snapshot, services=(*others, changed)))
            over = time.monotonic() + LATE
            calls = [callers.submit(ask)]
            while time.monotonic() < over:
                time.sleep(0.1)
                calls.append(callers.submit(ask))
        for _ in range(20):  # also when Envoy has the new cluster
            time.sleep(0.1)
            calls.append(callers.submit(ask))
        assert {each.result() for each in calls} == {200}
    assert status.loaded(fresh_stage.gateway.directory).current


def test_clusters_stay_as_long_as_envoy_has_routes_that_lead_there(fresh_stage: Stage) -> None:
    directory, process = fresh_stage.gateway.directory, fresh_stage.gateway.process
    assert process is not None
    without = replace(fresh_stage.snapshot, services=fresh_stage.snapshot.services[:1])
    with stopped(process):
        assert fresh_stage.gateway.publish(without)
        time.sleep(retired_clusters.LINGER_SECONDS + 0.1)
        assert not fresh_stage.gateway.publish(without)
        assert "asr-http" in published_clusters(fresh_stage), "nobody knows what Envoy has"
    until(lambda: status.loaded(directory).current)
    assert not fresh_stage.gateway.publish(without)
    assert published_clusters(fresh_stage) == {"mnist-http", "mnist-grpc"}
