"""What the bench changes while requests pass."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from bench.parts import changes
from bench.targets import servers
from bench.targets.null import Null
from services.gateway.render import render

ONE, OTHER = (Null(servers.endpoint(port, port + 1), []) for port in (9001, 9011))


def test_every_change_is_one_and_leaves_the_measured_services_ready() -> None:
    people = changes.population(ONE, ONE.endpoint)
    before = render(people.snapshot), people.snapshot.for_keys()
    for number in range(12):
        snapshot = changes.changed(people, number, OTHER)
        files = render(snapshot), snapshot.for_keys()  # keys are published apart
        assert files != before, f"change {number} changes nothing"
        before = files
        assert all(service.ready and ONE.endpoint in service.endpoints for service in snapshot.services[:2])
        assert any(key.team == "bench" for key in snapshot.keys)


def test_the_log_of_what_failed_is_kept_and_nothing_else(tmp_path: Path) -> None:
    fine = {"time": "2026-01-02T00:00:01.000Z", "status": 200, "grpc_status": "-", "flags": "-", "details": ""}
    early = {**fine, "time": "2026-01-01T23:59:59.000Z", "status": 404}
    stream = {**fine, "grpc_status": None, "flags": "DC"}  # the generator ended
    refused = {**fine, "status": 503, "flags": "UH", "details": "no_healthy_upstream"}
    grpc = {**fine, "grpc_status": "14"}
    cut = {**fine, "flags": "UC"}
    log = tmp_path / "access.log"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in (early, fine, stream, refused, grpc, cut)))
    since = datetime(2026, 1, 2, tzinfo=UTC)
    assert changes.not_well(log, since) == [refused, grpc, cut]
    assert changes.not_well(log, since, most=1) == [refused]
    result = changes.Changes(1, 1.0, ["Not a 200"], {}, {}, {"cut": 0, "lost": 0}, [refused])
    assert "no_healthy_upstream" in changes.verdict(result)
