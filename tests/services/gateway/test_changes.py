"""Only what is new is checked again, and nothing that is wrong gets past that."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.errors import GatewayError
from services.gateway import changes
from services.gateway.binary import find_envoy
from services.gateway.discovery_file import Published
from services.gateway.envoy import document, names
from services.gateway.envoy.document import Document
from services.gateway.publish import deliver, prepare
from services.gateway.render import Files, render
from services.gateway.snapshot import GatewayService, Snapshot
from services.gateway.validate import validate
from services.listeners import Address
from tests.services.gateway import snapshots

MANY = snapshots.many(50)
NEWCOMER = snapshots.ready("newcomer", *snapshots.TWO)
ALIKE = replace(MANY, services=(*MANY.services, NEWCOMER))
ONE_MORE = replace(MANY, services=(*MANY.services, replace(NEWCOMER, timeout_seconds=7)))
"""Unlike the others in what Envoy could find something wrong with."""
OTHER = snapshots.endpoint(31, 32)
ENVOY = find_envoy()


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A directory of the gateway with MANY published, and a copy of it."""
    directory = tmp_path_factory.mktemp("changes") / "gateway"
    prepare(directory, host="127.0.0.1", port=8080)
    deliver(lambda: MANY, directory, ENVOY)
    return directory, shutil.copytree(directory, directory.with_name("copy"))


@pytest.fixture
def directory(delivered: tuple[Path, Path]) -> Path:
    """As it was delivered, at the same path: that path is in the bootstrap, which the checks are bound to."""
    directory, copy = delivered
    shutil.rmtree(directory)
    return shutil.copytree(copy, directory)


def unchecked(snapshot: Snapshot, directory: Path) -> Files | None:
    checker = changes.identity(ENVOY, (directory / names.BOOTSTRAP).read_bytes())
    return changes.unchecked(render(snapshot), Published(directory), checker)


def test_of_a_new_service_its_own_lines_are_checked_with_the_clusters_they_lead_to(directory: Path) -> None:
    files_to_check = unchecked(ONE_MORE, directory)
    assert files_to_check is not None
    assert [document.item_name(line) for line in files_to_check[names.ROUTES].lines] == [b"service-newcomer"]
    assert [document.item_name(line) for line in files_to_check[names.CLUSTERS].lines] == [
        b"newcomer-grpc",
        b"newcomer-http",
    ]
    validate(files_to_check, (directory / names.BOOTSTRAP).read_bytes(), ENVOY)


@pytest.mark.parametrize(
    "service",
    [
        NEWCOMER,
        replace(NEWCOMER, name="a"),
        replace(NEWCOMER, name="http-grpc", team="some other/team"),
        replace(
            NEWCOMER,
            name="b",
            team="some other/team",
            endpoints=(OTHER, replace(OTHER, http=Address(host="127.0.0.1", port=33))),
        ),
        replace(NEWCOMER, name="svc-0-http"),
        replace(NEWCOMER, name="service-x"),
    ],
    ids=lambda service: service.name,
)
def test_a_service_like_another_needs_no_check_whatever_its_name_team_and_ports(
    service: GatewayService, directory: Path
) -> None:
    with_it = replace(MANY, services=(*MANY.services, service))
    # One whose clusters are called as if they were virtual hosts is looked at: that is slower, and never wrong.
    assert (unchecked(with_it, directory) is None) == (service.name != "service-x")
    assert deliver(lambda: with_it, directory, ENVOY)


@pytest.mark.parametrize(
    "other",
    [
        {"public": True},
        {"timeout_seconds": 7},
        {"max_payload_bytes": 1 << 20},
        {"concurrency": 3},
        {"auth_parameters": (("x-lab", "7"),)},
        {"endpoints": (OTHER,)},
        {"endpoints": (OTHER, replace(OTHER, http=Address(host="127.0.0.2", port=31)))},
        {"framework": "vllm", "task": "chat"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_one_that_differs_in_anything_else_is_checked_and_the_next_like_it_is_not(
    other: dict[str, Any], directory: Path
) -> None:
    first, second = replace(NEWCOMER, **other), replace(NEWCOMER, name="second", **other)
    services = (*MANY.services, first)
    assert unchecked(replace(MANY, services=services), directory) is not None
    deliver(lambda: replace(MANY, services=services), directory, ENVOY)
    assert unchecked(replace(MANY, services=(*services, second)), directory) is None


def test_a_changed_route_is_checked_with_clusters_that_did_not_change(directory: Path) -> None:
    changed = replace(MANY.services[0], timeout_seconds=7)
    files_to_check = unchecked(replace(MANY, services=(changed, *MANY.services[1:])), directory)
    assert files_to_check is not None
    assert {document.item_name(line) for line in files_to_check[names.CLUSTERS].lines} == {b"svc-0-grpc", b"svc-0-http"}
    validate(files_to_check, (directory / names.BOOTSTRAP).read_bytes(), ENVOY)


def test_a_second_service_of_a_name_that_is_published_is_refused(directory: Path) -> None:
    again = replace(MANY.services[0], team="another")
    with pytest.raises(GatewayError, match="Envoy refuses"):
        deliver(lambda: replace(MANY, services=(*MANY.services, again)), directory, ENVOY)


def test_a_mistake_in_a_new_line_is_found(directory: Path) -> None:
    files = dict(render(ONE_MORE))
    files[names.ROUTES] = Document.read(files[names.ROUTES].content.replace(b"newcomer-http", b"nowhere-http"))
    checker = changes.identity(ENVOY, (directory / names.BOOTSTRAP).read_bytes())
    files_to_check = changes.unchecked(files, Published(directory), checker)
    assert files_to_check is not None
    with pytest.raises(GatewayError, match="nowhere-http"):
        validate(files_to_check, (directory / names.BOOTSTRAP).read_bytes(), ENVOY)


def test_another_bootstrap_or_another_envoy_checks_everything(directory: Path) -> None:
    files = render(ONE_MORE)
    assert changes.unchecked(files, Published(directory), "another") == files
    assert changes.identity(ENVOY, b"one") != changes.identity(ENVOY, b"two")
    assert changes.unchecked(files, Published(directory), "") == files


def test_files_with_one_item_a_line_are_json_that_says_the_same() -> None:
    content = document.discovery([{"name": "b", "x": 1}, {"x": 2}], {"a": [document.ITEMS], "@type": "t"})
    parsed = json.loads(content.content)
    assert parsed["resources"] == [{"@type": "t", "a": [{"name": "b", "x": 1}, {"x": 2}]}]
    assert parsed["version_info"] == document.version(content.content) == content.version
    assert Document.join(content.head, content.lines, content.tail) == Document.read(content.content) == content
    empty = document.discovery([])
    assert json.loads(empty.content)["resources"] == []
    assert Document.join(empty.head, empty.lines, empty.tail) == Document.read(empty.content) == empty
