"""What a snapshot becomes, one route or resource a line. `UPDATE_GOLDEN=1` in the environment writes the files anew.

Each file holds what its case is about. What every case shares is in one of them, and tests hold the others to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from services.gateway import bridge_table
from services.gateway.envoy import auth, inside, names
from services.gateway.render import render
from services.gateway.snapshot import Snapshot
from tests.services.gateway import snapshots

GOLDEN = Path(__file__).parent / "testdata"
OFF = {"@type": f"{names.TYPE}envoy.config.route.v3.FilterConfig", "disabled": True}
EMPTY, PUBLIC = Snapshot(), snapshots.CASES["public"]
Json = dict[str, Any]


def read(snapshot: Snapshot, file: str) -> Any:
    return json.loads(render(snapshot)[file].content)


def shell(snapshot: Snapshot) -> Json:
    """The route configuration without its virtual hosts."""
    (routes,) = read(snapshot, names.ROUTES)["resources"]
    return {key: value for key, value in routes.items() if key != "virtual_hosts"}


def hosts(snapshot: Snapshot) -> dict[str, Json]:
    (routes,) = read(snapshot, names.ROUTES)["resources"]
    return {host["name"]: host for host in routes["virtual_hosts"]}


def refusals(snapshot: Snapshot) -> list[Json]:
    return [host for name, host in hosts(snapshot).items() if name.startswith("refusal-")]


def credentials(snapshot: Snapshot) -> list[Json]:
    keys = snapshot.for_keys()
    entries: list[Json] = json.loads(auth.credentials(keys.keys, keyless=keys.keyless).content)["resources"]
    return entries


def brief(host: Json) -> list[Json]:
    """The virtual host without its routes, then each route. The filters that a route switches off are one text."""
    return [_brief(each) for each in ({**host, "routes": len(host["routes"])}, *host["routes"])]


def _brief(route: Json) -> Json:
    filters = route.get("typed_per_filter_config", {})
    off = sorted(name for name, config in filters.items() if config == OFF)
    on = {name: config for name, config in filters.items() if config != OFF}
    return {**route, "typed_per_filter_config": on, "off": " ".join(off)}


def beside(lines: list[Json], others: list[Json]) -> list[Json]:
    """`lines`, but the number alone of one that is among the others."""
    return [{"as": others.index(line)} if line in others else line for line in lines]


def every(entries: Iterable[Json]) -> list[Json]:
    return [line for host in entries for line in brief(host)]


def service(case: str) -> list[Json]:
    """The virtual host of the service, its clusters, and what the bridge is told of it."""
    snapshot = snapshots.CASES[case]
    clusters = read(snapshot, names.CLUSTERS)["resources"]
    return [*brief(hosts(snapshot)["service-mnist"]), *clusters, read(snapshot, bridge_table.FILE)["services"]]


CASES: dict[str, Callable[[], list[Json]]] = {
    "doors": lambda: [shell(EMPTY), *brief(hosts(EMPTY)["doors"])],
    "doors_keyless": lambda: beside(brief(hosts(PUBLIC)["doors"]), brief(hosts(EMPTY)["doors"])),
    "refusals": lambda: every(refusals(EMPTY)),
    "refusals_keyless": lambda: beside(every(refusals(PUBLIC)), every(refusals(EMPTY))),
    "two_replicas": lambda: service("two_replicas"),
    "sockets": lambda: service("sockets"),
    "not_ready": lambda: service("not_ready"),
    "public": lambda: service("public"),
    "keys": lambda: credentials(snapshots.CASES["keys"]),
    "keys_keyless": lambda: credentials(PUBLIC),
    "keys_none": lambda: credentials(EMPTY),
}


@pytest.mark.parametrize("case", CASES)
def test_a_case_renders_to_its_golden_file(case: str) -> None:
    lines = CASES[case]()
    path = GOLDEN / f"{case}.jsonl"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    assert lines == [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("case", sorted(snapshots.CASES))
def test_every_case_has_the_shell_and_the_hosts_of_the_golden_files(case: str) -> None:
    snapshot = snapshots.CASES[case]
    like = PUBLIC if case == "public" else EMPTY
    assert shell(snapshot) == shell(EMPTY)
    assert hosts(snapshot)["doors"] == hosts(like)["doors"] and refusals(snapshot) == refusals(like)
    own = [f"service-{each.name}" for each in sorted(snapshot.services, key=lambda each: each.name)]
    assert list(hosts(snapshot)) == ["doors", *(host["name"] for host in refusals(EMPTY)), *own]


@pytest.mark.parametrize("case", sorted(snapshots.CASES))
def test_every_file_holds_its_services_and_no_more(case: str) -> None:
    snapshot = snapshots.CASES[case]
    ready = sorted(each.name for each in snapshot.services if each.ready)
    clusters = [cluster["name"] for cluster in read(snapshot, names.CLUSTERS)["resources"]]
    assert clusters == [f"{name}-{protocol}" for name in ready for protocol in ("grpc", "http")]
    assert list(read(snapshot, bridge_table.FILE)["services"]) == sorted(each.name for each in snapshot.services)
    assert read(snapshot, inside.HOPS_FILE) == [], "no key has a limit of requests at once"


def test_services_differ_in_names_and_grants_and_in_nothing_else() -> None:
    snapshot = snapshots.CASES["keys"]
    mnist, asr = (json.dumps(hosts(snapshot)[f"service-{name}"]) for name in ("mnist", "asr"))
    as_asr = mnist.replace("mnist", "asr").replace("team=vision", "team=speech")
    assert as_asr.replace(snapshots.uid("mnist"), snapshots.uid("asr")) == asr
    clusters = {each["name"]: json.dumps(each) for each in read(snapshot, names.CLUSTERS)["resources"]}
    for protocol in ("grpc", "http"):
        assert clusters[f"mnist-{protocol}"].replace("mnist", "asr") == clusters[f"asr-{protocol}"]
    entries = read(snapshot, bridge_table.FILE)["services"]
    assert entries["asr"] == {**entries["mnist"], "team": "speech", "uid": snapshots.uid("asr")}


def test_keys_change_no_virtual_host_of_a_service() -> None:
    snapshot = snapshots.CASES["keys"]
    assert hosts(snapshot) == hosts(Snapshot(services=snapshot.services))
