"""READY is said once the gateway sends requests to every replica, and a replica ends once it sends none any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from console.accounts.principal import Principal
from services import wiring
from services.actions import services as verbs
from services.clients.kernel import connections
from services.control import publishing, reconcile
from services.control.replicas import life as replicas
from services.errors import GatewayError, GatewaySilent
from services.gateway import status
from services.gateway.status import Loaded, ReplicaHealth
from services.models import Replica, Service
from tests.services.world import World

Make = Callable[..., Service]


class Envoy:
    """What Envoy tells of itself."""

    def __init__(self) -> None:
        self.addresses: set[str] = set()
        self.current = True
        self.error: GatewayError | None = None

    def replicas(self, gateway_dir: object) -> list[ReplicaHealth]:
        if self.error is not None:
            raise self.error
        return [ReplicaHealth("echo", "http", address, True, 0, 0) for address in self.addresses]

    def loaded(self, gateway_dir: object) -> Loaded:
        return Loaded({}, {} if self.current else {"rds.json": "newer"})


@pytest.fixture
def envoy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Envoy]:
    fake_envoy = Envoy()
    monkeypatch.setattr(status, "replicas", fake_envoy.replicas)
    monkeypatch.setattr(status, "loaded", fake_envoy.loaded)
    monkeypatch.setattr(publishing, "PATIENCE", 0.0)
    yield fake_envoy


def listed(*rows: Replica) -> set[str]:
    listeners = [wiring.engine().listeners(row.process_name) for row in rows]
    return {str(address) for each in listeners for address in (each.http, each.grpc)}


def test_ready_is_not_said_before_the_gateway_sends_to_both_sockets(make: Make, world: World, envoy: Envoy) -> None:
    service = world.preheat(make())
    service = world.settle(service)
    replica = service.replica_set.get()
    assert service.state == "STARTING"
    assert "does not send requests" in service.message
    envoy.addresses = {str(wiring.engine().listeners(replica.process_name).http)}
    assert world.settle(service).state == "STARTING", "over gRPC it is not there yet"
    envoy.addresses = listed(replica)
    envoy.current = False
    assert "newest configuration" in world.settle(service).message
    envoy.current = True
    assert world.settle(service).state == "READY"


def test_a_gateway_that_is_silent_has_not_taken_it_and_one_that_is_away_holds_nothing_up(
    make: Make, world: World, envoy: Envoy
) -> None:
    service = world.preheat(make())
    envoy.error = GatewaySilent("The gateway has not answered for 2 s.")
    service = world.settle(service)
    assert (service.state, service.message) == ("STARTING", "It answers. The gateway has not answered for 2 s.")
    envoy.error = GatewayError("The gateway is not running.")
    assert world.settle(service).state == "READY"


def test_a_replica_that_was_added_is_ready_once_the_gateway_sends_to_it(
    make: Make, world: World, envoy: Envoy, actor: Principal
) -> None:
    envoy.error = GatewayError("The gateway is not running.")
    service = world.preheat(make())
    service = world.settle(service)
    envoy.error, envoy.addresses = None, listed(*service.replica_set.all())
    verbs.scale(service, 2, actor=actor)
    service = world.settle(service)
    for _ in range(3):
        reconcile.reconcile(service.pk)
    added = service.replica_set.get(index=1)
    assert added.state != Replica.READY and "does not send requests" in added.message
    assert added.started_at is not None, "the gateway is told of it"
    envoy.addresses = listed(*service.replica_set.all())
    reconcile.reconcile(service.pk)
    added.refresh_from_db()
    assert (added.state, added.message) == (Replica.READY, "")


@pytest.mark.parametrize(
    ("error", "drained"), [(None, False), (GatewaySilent("late"), False), (GatewayError("away"), True)]
)
def test_a_replica_that_the_gateway_may_still_choose_is_not_drained(
    ready: Make, envoy: Envoy, monkeypatch: pytest.MonkeyPatch, error: GatewayError | None, drained: bool
) -> None:
    envoy.error = GatewayError("away")
    replica = ready().replica_set.get()
    monkeypatch.setattr(replicas, "_longest_drain", lambda: timedelta(seconds=60))
    monkeypatch.setattr(connections, "held", lambda paths: 0)
    replica.drain_until = timezone.now() + timedelta(seconds=30)
    envoy.addresses, envoy.error = listed(replica), error
    assert replicas._is_drained(replica) is drained
    envoy.addresses, envoy.error = set(), None
    assert replicas._is_drained(replica)
