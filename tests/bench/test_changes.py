"""What the bench changes while requests pass."""

from __future__ import annotations

from bench import changes
from bench.null import Null
from services.gateway.render import render
from services.gateway.snapshot import Endpoint

ONE, OTHER = (Null(Endpoint("127.0.0.1", port, port + 1), []) for port in (9001, 9011))


def test_every_change_is_one_and_leaves_the_measured_services_ready() -> None:
    people = changes.population(ONE, ONE.endpoint)
    before = render(people.snapshot)
    for number in range(12):
        snapshot = changes.changed(people, number, OTHER)
        files = render(snapshot)
        assert files != before, f"change {number} changes nothing"
        before = files
        assert all(service.ready and ONE.endpoint in service.endpoints for service in snapshot.services[:2])
        assert any(key.team == "bench" for key in snapshot.keys)
