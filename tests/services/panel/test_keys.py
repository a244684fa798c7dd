"""The test panel's key: made once, found again, made anew when it must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from console.accounts.principal import Principal, for_user
from console.errors import Conflict, Forbidden, InvalidFields, NotFound, Unavailable
from console.models import Team
from services import states
from services.actions import delivery, keys
from services.control import publishing
from services.errors import GatewayError
from services.gateway import credentials
from services.gateway import keys as format
from services.models import ApiKey, Service
from services.panel import keys as panel_keys
from services.panel import tensors as panel_tensors
from tests.services.ready import at_port, ready_service
from tests.services.v2_server import V2Server, serve_v2


@pytest.fixture(scope="module")
def server() -> Iterator[V2Server]:
    with serve_v2() as started:
        yield started


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time the gateway was told: how many live keys it was told of."""
    key_counts: list[int] = []
    publish = publishing.publish_keys
    monkeypatch.setattr(
        publishing, "publish_keys", lambda: key_counts.append(ApiKey.objects.live().count()) or publish()
    )
    return key_counts


@pytest.fixture
def service(team: Team, server: V2Server, published: list[int], monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(settings, "GATEWAY_PORT", server.port)
    monkeypatch.setattr(delivery, "PATIENCE", 0.05)  # no Envoy runs here, which would take the keys
    return ready_service(team, "digits", monkeypatch, listeners=at_port(server.port))


def test_the_same_key_is_found_again_and_published_once(service: Service, published: list[int]) -> None:
    first = panel_keys.key_for(service)
    assert panel_keys.key_for(service) == first and published == [1]
    row = ApiKey.objects.get()
    assert format.parse(first) == row.key_id and format.digest(first) == row.digest
    assert (row.name, row.services, row.scopes, row.created_by) == ("test panel", ["digits"], ["infer"], "console")
    assert row.expires_at is not None and row.expires_at - timezone.now() <= panel_keys.LIFE


def test_a_key_whose_publishing_failed_is_published_by_the_next_call(
    service: Service, published: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise GatewayError("The keys could not be written.")

    with monkeypatch.context() as broken, pytest.raises(GatewayError):
        broken.setattr(publishing, "publish_keys", fail)
        panel_keys.key_for(service)
    key = panel_keys.key_for(service)
    assert published == [1] and ApiKey.objects.count() == 1
    assert format.digest(key) in credentials.published(settings.HOME.gateway).digests


def test_each_service_has_a_key_of_its_own(
    service: Service, team: Team, server: V2Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ready_service(team, "other", monkeypatch, listeners=at_port(server.port + 1))
    assert panel_keys.key_for(service) != panel_keys.key_for(other)


def test_a_key_that_soon_expires_is_replaced_and_an_expired_one_forgotten(service: Service) -> None:
    first = panel_keys.key_for(service)
    ApiKey.objects.update(expires_at=timezone.now() + panel_keys.RENEW_BEFORE - timedelta(seconds=1))
    second = panel_keys.key_for(service)
    assert second != first and ApiKey.objects.count() == 2, "a test that runs may still use the first"
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert panel_keys.key_for(service) not in {first, second} and ApiKey.objects.count() == 1


def test_a_revoked_key_is_not_used_again(service: Service, alice: User) -> None:
    first = panel_keys.key_for(service)
    keys.revoke(ApiKey.objects.get(), actor=for_user(alice))
    assert panel_keys.key_for(service) != first
    assert keys.authenticate(first) is None


def test_a_row_that_somebody_made_under_its_name_is_not_mistaken_for_it(service: Service) -> None:
    ApiKey.objects.create(
        team=service.team,
        name=panel_keys.NAME,
        key_id="a" * 12,
        digest="0" * 64,
        scopes=["infer", "manage"],
        services=["digits"],
        expires_at=timezone.now() + timedelta(days=1),
        created_by="console",
    )
    assert format.parse(panel_keys.key_for(service)) != "a" * 12


def test_another_secret_key_makes_another_key(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    first = panel_keys.key_for(service)
    monkeypatch.setattr(settings, "SECRET_KEY", "changed")
    second = panel_keys.key_for(service)
    assert format.digest(second) != format.digest(first) and ApiKey.objects.count() == 2


def test_a_gateway_that_does_not_take_the_key_says_so(
    service: Service, server: V2Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel_keys, "TAKEN_SECONDS", 0.2)
    server.ready_status = 401
    try:
        with pytest.raises(Unavailable, match="has not taken the key"):
            panel_keys.key_for(service)
    finally:
        server.ready_status = 200


INPUTS = {"inputs": [{"name": "predict", "data": [1, 2]}]}


def test_who_may_test(
    service: Service, alice: User, bob: User, charlie: User, admin: User, principal_of: Callable[[User], Principal]
) -> None:
    for user in (alice, bob, admin):
        assert panel_tensors.probe(service, INPUTS, actor=principal_of(user)).answer.ok
    with pytest.raises(Forbidden):
        panel_tensors.probe(service, INPUTS, actor=principal_of(charlie))


def test_a_key_needs_the_scope_infer_and_the_service(service: Service, alice: User) -> None:
    team = service.team
    reader = keys.create(team=team, name="reader", scopes=["read", "manage"], actor=for_user(alice))
    elsewhere = Principal(label="key", roles={team.pk: "viewer"}, services=frozenset({service.pk + 1}))
    actor = keys.authenticate(reader.key)
    assert actor is not None
    with pytest.raises(Forbidden, match="scope infer"):
        panel_tensors.probe(service, INPUTS, actor=actor)
    with pytest.raises(NotFound):
        panel_tensors.probe(service, INPUTS, actor=elsewhere)


def test_a_service_that_serves_nothing_cannot_be_tested(service: Service, alice: User) -> None:
    service.state = states.FAILED
    with pytest.raises(Conflict, match="digits is FAILED"):
        panel_tensors.probe(service, INPUTS, actor=for_user(alice))


def test_options_that_make_no_sense_are_named_together(service: Service, alice: User) -> None:
    payload = {**INPUTS, "protocol": "soap", "encoding": "xml", "api_key": "with space"}
    with pytest.raises(InvalidFields) as caught:
        panel_tensors.probe(service, payload, actor=for_user(alice))
    assert set(caught.value.errors) == {"protocol", "encoding", "api_key"}
    assert "with space" not in str(caught.value)
