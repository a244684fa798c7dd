"""What a snapshot becomes: rules that hold for every snapshot. Whole examples are in test_golden.py."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import GatewayError
from services.gateway.envoy import auth, names, ratelimit
from services.gateway.render import render
from services.gateway.snapshot import Snapshot
from tests.services.gateway import snapshots


def resources(snapshot: Snapshot, file: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(render(snapshot)[file].content)["resources"]
    return items


def clients(snapshot: Snapshot) -> dict[str, str]:
    """Key id -> the whole text that carries its grants."""
    return {entry["client"][:12]: entry["client"] for entry in rendered_keys(snapshot)["typed_config"]["credentials"]}


def rendered_keys(snapshot: Snapshot) -> dict[str, Any]:
    keys = snapshot.for_keys()
    (shell,) = json.loads(auth.credentials(keys.keys, keyless=keys.keyless).content)["resources"]
    return dict(shell)


def test_the_order_of_the_input_changes_nothing() -> None:
    whole = snapshots.many(20)
    expected = render(whole)
    shuffle = random.Random(7)
    for _ in range(5):
        services, keys = list(whole.services), list(whole.keys)
        shuffle.shuffle(services)
        shuffle.shuffle(keys)
        turned = [replace(service, endpoints=service.endpoints[::-1]) for service in services]
        assert render(Snapshot(tuple(turned), tuple(keys))) == expected


def test_the_version_follows_the_content() -> None:
    before, after = snapshots.CASES["keys"], replace(snapshots.CASES["keys"], keys=snapshots.KEYS[1:])
    old, new = (json.loads(auth.credentials(snapshot.keys, keyless=False).content) for snapshot in (before, after))
    assert old["version_info"] != new["version_info"]
    assert render(before) == render(after), "keys change nothing but the file of keys"


def test_no_secret_is_in_any_file() -> None:
    content = b"".join(document.content for document in render(snapshots.CASES["keys"]).values())
    content += str(rendered_keys(snapshots.CASES["keys"])).encode()
    assert snapshots.ADMIN.encode() not in content
    assert snapshots.ADMIN[17:].encode() not in content


def test_each_kind_of_key_is_given_its_grants() -> None:
    given = clients(snapshots.CASES["keys"])
    assert given == {
        "adminadmin00": "adminadmin00;infer;all;",
        "teamteam0000": "teamteam0000;infer;team=vision;",
        "named0000000": f"named0000000;infer;svc={snapshots.uid('mnist')};",
        "limited00000": "limited00000;infer;team=vision;rate=limited00000:333333000:3;retry=20;",
        "reader000000": "reader000000;",
        "stranger0000": "stranger0000;infer;team=speech;",
    }


def test_a_key_for_a_service_does_not_open_the_next_one_of_that_name() -> None:
    first = snapshots.ready("mnist")
    grant = f";svc={first.uid};"
    assert grant in clients(snapshots.CASES["keys"])["named0000000"] and grant in str(hosts(Snapshot((first,))))
    assert grant not in str(hosts(Snapshot((replace(first, uid="4711"),))))
    assert ";svc=mnist;" not in str(hosts(Snapshot((first,))))


def test_a_team_cannot_be_named_so_that_it_grants_more() -> None:
    sly = snapshots.key(snapshots.TEAM, "a;all;team=vision")
    assert ";all;" not in clients(Snapshot(keys=(sly,)))["teamteam0000"]


def test_a_caller_without_a_key_is_known_only_where_a_service_is_public() -> None:
    assert names.KEYLESS in clients(snapshots.CASES["public"])
    assert names.KEYLESS not in clients(snapshots.CASES["keys"])


@given(st.integers(1, 30_000))
def test_a_bucket_holds_as_many_requests_as_the_limit_says(limit: int) -> None:
    assert ratelimit.cost(limit) * limit <= ratelimit.SIZE < ratelimit.cost(limit) * (limit + 1)


@pytest.mark.parametrize("limit", [10**6, 10**9])
def test_of_a_huge_limit_few_more_pass(limit: int) -> None:
    assert limit <= ratelimit.SIZE / ratelimit.cost(limit) <= limit * (1 + 2 * limit / ratelimit.SIZE)


@pytest.mark.parametrize(
    ("team", "named", "reached"),
    [
        ("vision", (), {"mnist", "digits", "open"}),
        ("vision", ("mnist",), {"mnist", "open"}),
        ("*", (), {"mnist", "digits", "asr", "open"}),
        ("*", ("asr",), {"asr", "open"}),
    ],
)
def test_a_limit_of_concurrent_requests_changes_only_services_that_its_key_may_call(
    team: str, named: tuple[str, ...], reached: set[str]
) -> None:
    services = (
        snapshots.ready("mnist"),
        snapshots.ready("digits"),
        snapshots.ready("asr", team="speech"),
        snapshots.ready("open", team="other", public=True),
    )
    limited = replace(snapshots.key(snapshots.LIMITED, team, services=named), max_concurrent=2)
    before = {host["name"]: host for host in hosts(Snapshot(services, snapshots.KEYS))}
    after = {host["name"]: host for host in hosts(Snapshot(services, (*snapshots.KEYS, limited)))}
    assert {name.removeprefix("service-") for name in after if after[name] != before[name]} == reached
    for name in reached:
        assert any(route.get("route", {}).get("cluster_header") for route in after[f"service-{name}"]["routes"])


def hosts(snapshot: Snapshot) -> list[dict[str, Any]]:
    virtual_hosts: list[dict[str, Any]] = resources(snapshot, names.ROUTES)[0]["virtual_hosts"]
    return virtual_hosts


def size(snapshot: Snapshot) -> int:
    return sum(len(document.content) for document in render(snapshot).values())


def test_size_grows_with_services_plus_keys() -> None:
    small, large = (size(snapshots.many(count)) for count in (100, 400))
    assert large < 4.1 * small


@pytest.mark.parametrize("name", ["*", "Mnist", "_door", "a.b", "", "a" * 64, "-a", "a\n"])
def test_a_name_that_is_no_dns_label_is_refused(name: str) -> None:
    with pytest.raises(GatewayError, match="DNS label"):
        render(Snapshot(services=(snapshots.ready(name),)))


def test_a_ready_service_without_replicas_is_refused() -> None:
    hollow = replace(snapshots.ready("mnist"), endpoints=())
    with pytest.raises(GatewayError, match="no endpoint"):
        render(Snapshot(services=(hollow,)))


def test_every_way_to_a_backend_is_tried_again_when_nothing_was_sent() -> None:
    two = snapshots.ready("pair", *snapshots.TWO)
    stateful = replace(snapshots.ready("counter", *snapshots.TWO), sequences=True)
    services = (two, stateful, snapshots.text("llama"), replace(snapshots.ready("slow"), timeout_seconds=900))
    hosts = resources(Snapshot(services, snapshots.KEYS), names.ROUTES)[0]["virtual_hosts"]
    policies = [
        route["route"].get("retry_policy") or host["retry_policy"]
        for host in hosts
        for route in host["routes"]
        if "route" in route
    ]
    assert len(policies) > 20
    assert {policy["retry_on"] for policy in policies} == {"connect-failure,refused-stream,reset-before-request"}
    elsewhere = [host["name"] for host in hosts if "retry_host_predicate" in host.get("retry_policy", {})]
    assert elsewhere == ["service-pair"], "no other replica knows a sequence"


def test_routes_of_v2_name_the_outputs_that_can_be_classified() -> None:
    limited = replace(snapshots.key(snapshots.LIMITED, "vision"), max_concurrent=2)
    scored = snapshots.ready("scored", classes=("OUT", "x"))
    rendered_hosts = hosts(Snapshot((scored, replace(scored, name="plain", classes=())), (limited,)))
    lua_metadata = {}
    for host in rendered_hosts:
        for route in host["routes"]:
            metadata = route.get("metadata", {}).get("filter_metadata", {})
            if door := metadata.get(names.LOG_METADATA, {}).get("door"):
                lua_metadata[host["name"], door] = metadata.get(names.LUA_METADATA)
    assert {door for (name, door), of in lua_metadata.items() if name == "service-scored" and of} == {
        "v2-rest",
        "v2-grpc",
    }
    assert lua_metadata["service-scored", "v2-grpc"] == {"classes": ["OUT", "x"]}
    assert not any(of for (name, _), of in lua_metadata.items() if name == "service-plain")
    assert any(route.get("route", {}).get("cluster_header") for host in rendered_hosts for route in host["routes"])
