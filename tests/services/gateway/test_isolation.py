"""One service that Envoy refuses holds up no other one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.errors import GatewayRefused
from services.gateway import changes, isolation, publish
from services.gateway.binary import find_envoy
from services.gateway.discovery_file import Published
from services.gateway.envoy import names
from services.gateway.publish import deliver, prepare
from services.gateway.render import render
from services.gateway.snapshot import Snapshot
from tests.services.gateway import snapshots

GOOD = tuple(snapshots.ready(f"good-{number}") for number in range(5))
# What no form lets through, as an older release or a later Envoy might have it.
BAD_HEADER = replace(snapshots.ready("bad-header"), auth_parameters=(("x bad\n", "v"),))
BAD_TIME = replace(snapshots.ready("bad-time"), timeout_seconds=-5)
NO_LABEL = replace(snapshots.ready("x"), name="No.Label")
NO_PLACE = replace(snapshots.ready("nowhere"), endpoints=())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    prepare(tmp_path / "gateway", host="127.0.0.1", port=8080)
    return tmp_path / "gateway"


def hosts(directory: Path) -> dict[str, str]:
    (shell,) = json.loads((directory / names.ROUTES).read_bytes())["resources"]
    return {host["name"].removeprefix("service-"): json.dumps(host) for host in shell["virtual_hosts"]}


def test_all_but_the_refused_ones_are_published(directory: Path) -> None:
    deliver(lambda: Snapshot(GOOD[:3]), directory, find_envoy())
    snapshot = Snapshot((*GOOD[:4], BAD_HEADER, BAD_TIME, GOOD[4]))
    delivered = deliver(lambda: snapshot, directory, find_envoy())
    assert set(delivered.refused) == {BAD_HEADER.name, BAD_TIME.name}
    assert all("Envoy refuses" in why or "written for Envoy" in why for why in delivered.refused.values())
    virtual_hosts = hosts(directory)
    assert all("good" in virtual_hosts[service.name] for service in GOOD)
    for name in delivered.refused:
        assert f"The service {name} is not ready." in virtual_hosts[name] and '"cluster"' not in virtual_hosts[name]


def test_what_cannot_even_be_rendered_is_left_out(directory: Path) -> None:
    delivered = deliver(lambda: Snapshot((*GOOD[:2], NO_PLACE, NO_LABEL)), directory, find_envoy())
    assert set(delivered.refused) == {NO_PLACE.name, NO_LABEL.name}
    assert all(service.name in hosts(directory) for service in GOOD[:2])


def test_a_service_that_was_open_is_closed_while_its_new_form_is_refused(directory: Path) -> None:
    open_one = snapshots.ready("open", public=True)
    deliver(lambda: Snapshot((GOOD[0], open_one)), directory, find_envoy())
    before = hosts(directory)["open"]
    refused = replace(open_one, public=False, timeout_seconds=-5)
    deliver(lambda: Snapshot((GOOD[0], refused)), directory, find_envoy())
    anybody = '"principals": [{"any": true}]'
    assert anybody in before and anybody not in hosts(directory)["open"]


def test_envoy_is_not_asked_again_about_what_it_refused_until_that_is_mended(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = deliver(lambda: Snapshot((*GOOD[:2], BAD_TIME)), directory, find_envoy())
    assert set(first.refused) == {BAD_TIME.name}
    validations: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(publish, "validate", lambda *args: validations.append(args))
        again = deliver(lambda: Snapshot((*GOOD[:2], BAD_TIME)), directory, find_envoy())
    assert (again.changed, again.refused, validations) == (False, first.refused, [])
    mended = replace(BAD_TIME, timeout_seconds=5)
    assert deliver(lambda: Snapshot((*GOOD[:2], mended)), directory, find_envoy()).refused == {}
    assert "is not ready" not in hosts(directory)["bad-time"]


def test_few_questions_find_one_of_many() -> None:
    services = tuple(snapshots.ready(f"svc-{number}") for number in range(64))
    checks = 0

    def check(snapshot: Snapshot) -> None:
        nonlocal checks
        checks += 1
        if any(service.name == "svc-41" and service.ready for service in snapshot.services):
            raise GatewayRefused("no")

    refusals = isolation.isolate(Snapshot(services), [service.name for service in services], check, lambda *_: None)
    assert {service.name for service in refusals} == {"svc-41"} and checks <= 16


def test_every_service_is_suspected_when_a_line_of_none_is_new(directory: Path) -> None:
    deliver(lambda: Snapshot(GOOD), directory, find_envoy())
    more = Snapshot((*GOOD, snapshots.ready("new")))
    limited = replace(more, keys=(replace(snapshots.KEYS[1], max_concurrent=2),))
    assert changes.services_with_new_lines(render(more), Published(directory)) == ["new"]
    assert changes.services_with_new_lines(render(limited), Published(directory)) == []


def test_when_no_service_is_to_blame_that_is_an_error() -> None:
    def check(snapshot: Snapshot) -> None:
        raise GatewayRefused("whatever is in it")

    with pytest.raises(GatewayRefused, match="whatever"):
        isolation.isolate(Snapshot(GOOD), [service.name for service in GOOD], check, lambda *_: None)


def test_a_search_without_time_goes_on_with_the_next_publish(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "SECONDS", 0.0)
    bad = {f"bad-{number}": replace(snapshots.ready(f"bad-{number}"), timeout_seconds=-5 - number) for number in (1, 2)}
    snapshot = Snapshot((*GOOD[:2], *bad.values()))
    left_out = []
    for _ in range(len(snapshot.services) + 1):
        refused = deliver(lambda: snapshot, directory, find_envoy()).refused
        assert bad.keys() <= refused.keys()
        left_out.append(len(refused))
    assert left_out[0] > len(bad), "the first search ended before it had looked at all of them"
    assert refused.keys() == bad.keys() and isolation.UNRESOLVED not in refused.values()
    assert all("good" in hosts(directory)[service.name] for service in GOOD[:2])
