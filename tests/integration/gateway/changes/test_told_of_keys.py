"""Who makes, rotates or revokes a key is told whether the gateway does it: REST API, pages, a real Envoy."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.models import Team
from services.actions import delivery
from services.control import publishing
from services.gateway import locks
from services.gateway.envoy import encoding, names
from services.gateway.publish import prepare
from services.gateway.snapshot import Limits
from services.listeners import Listeners
from services.models import GatewayRevision, Service
from services.queries import dashboard
from tests.ports import free_ports
from tests.rest import ROOT, Answer, Api
from tests.servers.gateway.rig import Backend, Gateway, until
from tests.services.ready import ready_service

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Backend]]:
    """Shared: the tests make keys and services of their own."""
    directory = tmp_path_factory.mktemp("home") / "gateway"
    gateway = Gateway(directory, free_ports(1)[0])
    prepare(directory, host="127.0.0.1", port=gateway.port, limits=Limits())
    backend = Backend.start("one")
    try:
        gateway.run()
        yield gateway, backend
    finally:
        gateway.kill()
        backend.kill()


@pytest.fixture
def gateway(
    envoy: tuple[Gateway, Backend], team: Team, alice: User, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gateway]:
    running, backend = envoy
    monkeypatch.setattr(settings, "HOME", replace(settings.HOME, root=running.directory.parent))
    listeners = Listeners(backend.endpoint.http, backend.endpoint.grpc, backend.endpoint.http)
    ready_service(team, "mnist", monkeypatch, listeners=listeners)
    publishing.publish()
    until(lambda: call(running, "isk_nobody") == 401)
    yield running
    if running.process is None or running.process.poll() is not None:
        running.run()


@pytest.fixture
def owner(alice: User) -> Api:
    return Api(alice)


def call(gateway: Gateway, key: str) -> int:
    return gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=key).status


def make(owner: Api, **rights: Any) -> Answer:
    return owner.post("keys/", {"name": "a key", **rights})


def bad_service(team: Team, monkeypatch: pytest.MonkeyPatch) -> Service:
    """As a form would not let through, and Envoy refuses."""
    service = ready_service(team, "bad", monkeypatch, listeners=Listeners.on_ports(9, 10, 11))
    revision = service.serving
    assert revision is not None
    revision.spec["limits"]["timeout_seconds"] = -5
    revision.save()
    return service


def test_done_means_that_the_gateway_does_it(gateway: Gateway, owner: Api) -> None:
    new_key = make(owner)
    assert (new_key.status, new_key.data["gateway"]) == (201, {"applied": True, "message": ""})
    until(lambda: call(gateway, new_key.data["key"]) == 200)
    revoked = owner.post(f"keys/{new_key.data['id']}/revoke/")
    assert (revoked.status, revoked.data["gateway"]["applied"]) == (200, True)
    until(lambda: call(gateway, new_key.data["key"]) == 401)


def test_no_service_and_no_lock_holds_a_revocation_up(
    gateway: Gateway, owner: Api, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_key = make(owner)
    until(lambda: call(gateway, new_key.data["key"]) == 200)
    bad_service(team, monkeypatch)
    with (gateway.directory / locks.SERVICES).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        revoked = owner.post(f"keys/{new_key.data['id']}/revoke/")
    assert (revoked.status, revoked.data["gateway"]["applied"]) == (200, True)
    until(lambda: call(gateway, new_key.data["key"]) == 401)


def test_a_gateway_that_is_away_is_told_of_and_catches_up(gateway: Gateway, owner: Api, alice: User) -> None:
    data = make(owner).data
    gateway.kill()
    revoked = owner.post(f"keys/{data['id']}/revoke/")
    assert revoked.status == 202 and "does not answer" in revoked.data["gateway"]["message"]
    client = Client()
    client.force_login(alice)
    assert "does not answer" in client.get(reverse("keys")).content.decode()
    waiting = client.get(reverse("keys-waiting"))
    assert waiting.status_code == 200 and "does not answer" in waiting.content.decode()
    gateway.run()
    assert owner.get(f"keys/{data['id']}/").data["gateway"] == {"applied": True, "message": ""}
    over = client.get(reverse("keys-waiting"))
    assert over.status_code == 286 and "has these keys" in over.content.decode()
    assert call(gateway, data["key"]) == 401


def test_what_cannot_be_written_is_not_called_done(gateway: Gateway, owner: Api, alice: User) -> None:
    data = make(owner).data
    until(lambda: call(gateway, data["key"]) == 200)
    read = gateway.directory / encoding.file_name(names.KEYS)
    kept = read.rename(read.with_suffix(".kept"))
    (read / "in the way").mkdir(parents=True)  # a rename onto it fails, as on a disk that is full
    try:
        revoked = owner.post(f"keys/{data['id']}/revoke/")
        assert revoked.status == 202 and "could not be written" in revoked.data["gateway"]["message"]
        assert make(owner).status == 202
        client = Client()
        client.force_login(alice)
        page = client.get(reverse("keys")).content.decode()
        assert "the gateway still accepts it" in page and "could not be written" in page
        assert call(gateway, data["key"]) == 200, "the page is right"
    finally:
        (read / "in the way").rmdir()
        read.rmdir()
        kept.rename(read)
    assert owner.get(f"keys/{data['id']}/").data["gateway"] == {"applied": True, "message": ""}
    until(lambda: call(gateway, data["key"]) == 401)


def test_a_rotated_key_has_used_up_what_the_one_before_has(gateway: Gateway, owner: Api) -> None:
    old = make(owner, rate_limit_per_minute=2, scopes=["infer", "manage"]).data
    until(lambda: call(gateway, old["key"]) == 200)
    until(lambda: call(gateway, old["key"]) == 429)
    new = owner.post(f"keys/{old['id']}/rotate/").data
    child = Api(key=old["key"]).post("keys/", {"name": "child"}).data
    make(owner, rate_limit_per_minute=7)
    until(lambda: call(gateway, new["key"]) != 401)
    until(lambda: call(gateway, child["key"]) != 401)
    assert [call(gateway, key["key"]) for key in (old, new, child)] == [429] * 3
    owner.post(f"keys/{old['id']}/revoke/", {"children": False})
    assert [call(gateway, key["key"]) for key in (new, child)] == [429] * 2


def test_a_limit_of_requests_at_once_is_there_before_the_key_is(gateway: Gateway, owner: Api) -> None:
    new_key = make(owner, max_concurrent=2)
    assert new_key.status == 202 and new_key.data["gateway"]["message"] == delivery.WAITING
    assert call(gateway, new_key.data["key"]) == 401
    publishing.publish()  # as the worker does
    assert owner.get(f"keys/{new_key.data['id']}/").data["gateway"]["applied"] or until(
        lambda: owner.get(f"keys/{new_key.data['id']}/").data["gateway"]["applied"]
    )
    until(lambda: call(gateway, new_key.data["key"]) == 200)


def test_a_service_that_is_refused_says_so_and_the_others_go_on(
    gateway: Gateway, owner: Api, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = bad_service(team, monkeypatch)
    publishing.publish()
    # Not held against the API's document: it has bounds that this service breaks.
    answer = owner.client.get(f"{ROOT}services/bad/").json()
    shown = {row["type"]: row for row in answer["conditions"]}["Reachable"]
    assert (shown["status"], shown["reason"]) == ("False", "Refused") and "-5" in shown["message"]
    assert dashboard.gateway().error.startswith(GatewayRevision.LEFT_OUT)
    data = make(owner).data
    until(lambda: call(gateway, data["key"]) == 200)
    bad.delete()
    publishing.publish()
    assert dashboard.gateway().error == "", "it is over"


def test_an_error_that_is_over_is_not_kept(gateway: Gateway) -> None:
    GatewayRevision.objects.create(error="Envoy refuses the configuration: something of before")
    publishing.publish()
    assert dashboard.gateway().error == ""
    assert publishing.publish() is None, "once"


def test_the_dashboard_follows_the_gateway_and_counts_keys_that_were_published_on_their_own(
    gateway: Gateway, owner: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "GATEWAY_PORT", gateway.port)
    until(lambda: dashboard.gateway().state == "current")
    before = dashboard.gateway().keys
    make(owner)
    publishing.publish()
    assert dashboard.gateway().keys == before + 1
    until(lambda: dashboard.gateway().state == "current")
    assert publishing.publish() is None, "once"
    gateway.kill()
    assert dashboard.gateway().state == "away"
