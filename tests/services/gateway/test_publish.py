"""How rendered files reach the gateway directory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.errors import GatewayError
from services.gateway import publish as publishing
from services.gateway import retired_clusters
from services.gateway.binary import find_envoy
from services.gateway.envoy import encoding, names
from services.gateway.envoy.document import Document
from services.gateway.publish import deliver, prepare, publish
from services.gateway.render import render
from services.gateway.snapshot import Snapshot
from tests.services.gateway import snapshots

BEFORE = Snapshot(services=(snapshots.ready("mnist"), snapshots.ready("asr")), keys=snapshots.KEYS)
AFTER = replace(BEFORE, services=BEFORE.services[:1])
ENCODED = (names.CLUSTERS, names.ROUTES)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    prepare(tmp_path / "gateway", host="127.0.0.1", port=8080)
    return tmp_path / "gateway"


def published(directory: Path) -> dict[str, Document]:
    return {name: Document.read((directory / name).read_bytes()) for name in render(Snapshot())}


def read_by_envoy(directory: Path) -> dict[str, bytes]:
    return {name: (directory / encoding.file_name(name)).read_bytes() for name in ENCODED}


def clusters(directory: Path) -> list[str]:
    return sorted(cluster["name"] for cluster in json.loads((directory / names.CLUSTERS).read_bytes())["resources"])


def grow_old(directory: Path) -> None:
    """As if what was published had been there for a minute."""
    left = json.loads(retired_clusters.note(directory))
    (directory / retired_clusters.LEFT).write_text(json.dumps({name: since - 60 for name, since in left.items()}))


def test_preparing_makes_everything_that_envoy_needs_to_start(directory: Path) -> None:
    assert published(directory) == render(Snapshot())
    assert (directory / names.BOOTSTRAP).exists()
    assert (directory / names.DESCRIPTORS).exists()


def test_preparing_again_keeps_what_is_published(directory: Path) -> None:
    publish(render(BEFORE), directory)
    prepare(directory, host="127.0.0.1", port=9090)
    assert published(directory) == render(BEFORE)
    assert b"9090" in (directory / names.BOOTSTRAP).read_bytes()


def test_the_log_of_an_earlier_release_goes_to_where_logs_are_now(directory: Path) -> None:
    for name in ("access.log", "access.log.1"):
        (directory / name).write_text(f"{name} of before")
    (directory / names.ACCESS_LOG).with_name("access.log.1").write_text("of now")
    prepare(directory, host="127.0.0.1", port=1)
    assert (directory / names.ACCESS_LOG).read_text() == "access.log of before"
    assert (directory / names.ACCESS_LOG).with_name("access.log.1").read_text() == "of now"
    assert (directory / "access.log.1").exists()


def test_publishing_the_same_twice_changes_nothing(directory: Path) -> None:
    assert publish(render(BEFORE), directory) is True
    inodes = {name: (directory / name).stat().st_ino for name in render(BEFORE)}
    assert publish(render(BEFORE), directory) is False
    assert {name: (directory / name).stat().st_ino for name in render(BEFORE)} == inodes


def test_nobody_else_may_read_the_files(directory: Path) -> None:
    publish(render(BEFORE), directory)
    assert all((directory / name).stat().st_mode & 0o077 == 0 for name in render(BEFORE))


def test_clusters_come_before_the_routes_that_lead_to_them(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = publishing.replace
    monkeypatch.setattr(publishing, "replace", lambda path, content: (written.append(path.name), real(path, content)))
    publish(render(BEFORE), directory)
    read = ["cds.pb", "bridge.json", "rds.pb"]
    assert written == [*read, names.CLUSTERS, names.ROUTES]


def test_a_removed_cluster_stays_until_no_route_leads_there(directory: Path) -> None:
    publish(render(BEFORE), directory)
    assert publish(render(AFTER), directory) is True
    assert clusters(directory) == ["asr-grpc", "asr-http", "mnist-grpc", "mnist-http"]
    assert publish(render(AFTER), directory) is False, "too early to tidy up"
    assert "asr-http" in clusters(directory)
    grow_old(directory)
    assert publish(render(AFTER), directory) is False, "tidying up is no change"
    assert published(directory) == render(AFTER)


def test_a_removed_cluster_stays_also_when_the_next_change_is_of_clusters_only(directory: Path) -> None:
    publish(render(BEFORE), directory)
    publish(render(AFTER), directory)
    fewer = replace(AFTER, services=(replace(AFTER.services[0], concurrency=7),))
    assert publish(render(fewer), directory) is True
    assert "asr-http" in clusters(directory)
    grow_old(directory)
    assert publish(render(AFTER), directory) is True, "what has left long ago goes with the next change"
    assert published(directory) == render(AFTER)


def test_a_cluster_that_came_back_and_leaves_again_stays_as_long_as_the_first_time(directory: Path) -> None:
    for step in (BEFORE, AFTER):
        publish(render(step), directory)
    grow_old(directory)
    for step in (BEFORE, AFTER):
        publish(render(step), directory)
    assert "asr-http" in clusters(directory)


def test_a_cluster_whose_removal_was_not_finished_is_not_taken_for_long_gone(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(render(BEFORE), directory)
    real = publishing.replace

    def dies(path: Path, content: bytes) -> None:
        if path.name == "rds.pb":
            raise OSError("disk full")
        real(path, content)

    monkeypatch.setattr(publishing, "replace", dies)
    with pytest.raises(OSError, match="disk full"):
        publish(render(AFTER), directory)
    monkeypatch.undo()
    grow_old(directory)
    publish(render(AFTER), directory)
    assert "asr-http" in clusters(directory), "only now the routes have left it"


@pytest.mark.parametrize("at", ["cds.pb", names.CLUSTERS, "rds.pb", names.ROUTES])
def test_what_a_dead_publisher_left_is_completed_by_the_next(
    directory: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    real = publishing.replace

    def dies_at_routes(path: Path, content: bytes) -> None:
        if path.name == at:
            raise OSError("disk full")
        real(path, content)

    monkeypatch.setattr(publishing, "replace", dies_at_routes)
    with pytest.raises(OSError, match="disk full"):
        publish(render(BEFORE), directory)
    monkeypatch.undo()
    assert publish(render(BEFORE), directory) is True
    assert published(directory) == render(BEFORE)
    assert not [path for path in directory.iterdir() if path.name.startswith(".cds")]


@pytest.mark.parametrize("at", [names.CLUSTERS, names.ROUTES])
def test_what_a_dead_publisher_began_is_taken_back_when_it_is_not_wanted_any_more(
    directory: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    publish(render(AFTER), directory)
    real = publishing.replace

    def dies(path: Path, content: bytes) -> None:
        if path.name == at:
            raise OSError("disk full")
        real(path, content)

    monkeypatch.setattr(publishing, "replace", dies)
    with pytest.raises(OSError, match="disk full"):
        publish(render(BEFORE), directory)
    monkeypatch.undo()
    grow_old(directory)
    publish(render(AFTER), directory)
    grow_old(directory)
    publish(render(AFTER), directory)
    assert read_by_envoy(directory) == {name: encoding.encode(name, render(AFTER)[name]) for name in ENCODED}


def test_what_envoy_reads_is_what_is_recorded_however_it_came_about(directory: Path) -> None:
    """Items are taken over from the file of before: that must be the same as to encode all of them."""
    steps = (BEFORE, AFTER, snapshots.many(30), BEFORE, snapshots.CASES["public"], Snapshot(), AFTER)
    for step in steps:
        publish(render(step), directory)
        recorded = published(directory)
        assert read_by_envoy(directory) == {name: encoding.encode(name, recorded[name]) for name in ENCODED}


@pytest.mark.parametrize("spoilt", [b"", b"nonsense", b"\x0a\x10" + b"0" * 16])
def test_a_protobuf_that_is_spoilt_is_made_anew(directory: Path, spoilt: bytes) -> None:
    publish(render(BEFORE), directory)
    expected = read_by_envoy(directory)
    for name in ENCODED:
        (directory / encoding.file_name(name)).write_bytes(spoilt)
    publish(render(BEFORE), directory)
    grow_old(directory)
    publish(render(BEFORE), directory)
    assert read_by_envoy(directory) == expected


def test_a_home_from_before_protobuf_is_completed_when_the_gateway_starts(directory: Path) -> None:
    publish(render(BEFORE), directory)
    expected = read_by_envoy(directory)
    for name in ENCODED:
        (directory / encoding.file_name(name)).unlink()
    prepare(directory, host="127.0.0.1", port=8080)
    assert read_by_envoy(directory) == expected


def test_a_configuration_that_envoy_refuses_is_not_published(directory: Path) -> None:
    publish(render(BEFORE), directory)
    twice = Snapshot((BEFORE.services[0], replace(BEFORE.services[0], team="another")))
    with pytest.raises(GatewayError, match="Envoy refuses"):
        deliver(lambda: twice, directory, find_envoy())
    assert published(directory) == render(BEFORE)


def test_nothing_is_delivered_to_a_gateway_that_was_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="not been prepared"):
        deliver(lambda: BEFORE, tmp_path / "gateway", find_envoy())


def test_a_home_too_deep_for_a_socket_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="CONSOLE_HOME"):
        prepare(tmp_path / ("deep" * 30), host="127.0.0.1", port=8080)
