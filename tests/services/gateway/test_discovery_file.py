"""A published file as a value: read once, in both forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway import bridge_table
from services.gateway.discovery_file import DiscoveryFile, Published
from services.gateway.envoy import encoding, names
from services.gateway.envoy.document import Document
from services.gateway.render import render
from tests.services.gateway import snapshots

OLD, NEW = render(snapshots.CASES["two_replicas"]), render(snapshots.CASES["keys"])


@pytest.fixture
def published(tmp_path: Path) -> Published:
    for name in (names.CLUSTERS, bridge_table.FILE):
        put(tmp_path, name, OLD[name])
    return Published(tmp_path)


def put(folder: Path, name: str, document: Document) -> None:
    for path, content in DiscoveryFile(folder / name).writes(document):
        path.write_bytes(content)


@pytest.mark.parametrize("name", [names.CLUSTERS, bridge_table.FILE])
def test_a_file_is_read_once(published: Published, name: str) -> None:
    assert published[name].holds(OLD[name]) and not published[name].holds(NEW[name])
    put(published.gateway_dir, name, NEW[name])
    assert published[name].holds(OLD[name]) and published[name].document == OLD[name]
    assert Published(published.gateway_dir)[name].holds(NEW[name])


def test_a_file_of_two_forms_is_held_when_both_say_the_same(published: Published) -> None:
    (published.gateway_dir / names.CLUSTERS).write_bytes(NEW[names.CLUSTERS].content)
    file = published[names.CLUSTERS]
    assert file.is_like(NEW[names.CLUSTERS]) and not file.holds(NEW[names.CLUSTERS])
    assert not file.holds(OLD[names.CLUSTERS])


def test_the_form_that_is_read_is_written_before_the_record(published: Published) -> None:
    clusters = published[names.CLUSTERS].writes(NEW[names.CLUSTERS])
    assert [path.name for path, _ in clusters] == [encoding.file_name(names.CLUSTERS), names.CLUSTERS]
    assert clusters[0][1] == encoding.encode(names.CLUSTERS, NEW[names.CLUSTERS])
    bridge = published[bridge_table.FILE].writes(NEW[bridge_table.FILE])
    assert bridge == [(published.gateway_dir / bridge_table.FILE, NEW[bridge_table.FILE].content)]


def test_nothing_is_published_yet(tmp_path: Path) -> None:
    file = Published(tmp_path)[names.ROUTES]
    assert file.document.content == b"" and list(file.document.lines) == []
    assert not file.holds(file.document)
