"""Keys are published on their own, and nothing about a service keeps one from coming or going."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.errors import GatewayError
from services.gateway import credentials, locks
from services.gateway.binary import find_envoy
from services.gateway.envoy import encoding, names
from services.gateway.envoy.document import Document
from services.gateway.publish import deliver, prepare
from services.gateway.snapshot import GatewayKey, Keys, Snapshot
from tests.services.gateway import snapshots

KEYS = Keys(snapshots.KEYS)
READ = encoding.file_name(names.KEYS)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    prepare(tmp_path / "gateway", host="127.0.0.1", port=8080)
    return tmp_path / "gateway"


def ids(directory: Path) -> set[str]:
    (shell,) = json.loads((directory / names.KEYS).read_bytes())["resources"]
    return {entry["client"].partition(";")[0] for entry in shell["typed_config"]["credentials"]}


def test_what_envoy_reads_is_what_is_recorded(directory: Path) -> None:
    for keys in (KEYS, Keys(KEYS.keys[2:]), Keys(KEYS.keys[:1], keyless=True), Keys(), KEYS):
        assert credentials.deliver(lambda keys=keys: keys, directory) is True  # type: ignore[misc]
        assert credentials.deliver(lambda keys=keys: keys, directory) is False  # type: ignore[misc]
        record = Document.read((directory / names.KEYS).read_bytes())
        assert (directory / READ).read_bytes() == encoding.encode(names.KEYS, record)
        assert credentials.published(directory).digests == {key.digest for key in keys.keys}


@pytest.mark.parametrize("spoilt", [READ, names.KEYS])
def test_a_file_that_is_gone_or_spoilt_is_made_anew(directory: Path, spoilt: str) -> None:
    credentials.deliver(lambda: KEYS, directory)
    whole = (directory / READ).read_bytes(), (directory / names.KEYS).read_bytes()
    for content in (None, b"", b"nonsense"):
        (directory / spoilt).unlink() if content is None else (directory / spoilt).write_bytes(content)
        assert credentials.deliver(lambda: KEYS, directory) is True
        assert ((directory / READ).read_bytes(), (directory / names.KEYS).read_bytes()) == whole


@pytest.mark.parametrize(
    "odd",
    [
        GatewayKey("odd000000000", 'no digest", "really', "vision"),
        GatewayKey('o"d', "0" * 64, "vision"),
        GatewayKey("odd000000000", "0" * 64, "*", services=('1";all;',)),
        replace(snapshots.KEYS[0], id="again0000000"),
    ],
    ids=["digest", "id", "service", "twice"],
)
def test_a_key_that_envoy_would_refuse_is_left_out_and_the_others_are_published(
    odd: GatewayKey, directory: Path
) -> None:
    credentials.deliver(lambda: Keys((*snapshots.KEYS[:3], odd)), directory)
    assert ids(directory) == {key.id for key in snapshots.KEYS[:3]}


def test_a_key_with_a_limit_of_requests_at_once_comes_after_its_limit(directory: Path) -> None:
    limited = replace(snapshots.key(snapshots.LIMITED, "vision"), max_concurrent=2)
    snapshot = Snapshot((snapshots.ready("mnist"),), (snapshots.KEYS[0], limited))
    credentials.deliver(snapshot.for_keys, directory)
    assert ids(directory) == {"adminadmin00"}
    deliver(lambda: snapshot, directory, find_envoy())
    credentials.deliver(snapshot.for_keys, directory)
    assert ids(directory) == {"adminadmin00", "limited00000"}


def test_a_publisher_of_services_that_is_stuck_holds_no_key_up(directory: Path) -> None:
    with (directory / locks.SERVICES).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert credentials.deliver(lambda: KEYS, directory) is True


def test_nobody_waits_for_a_lock_without_a_limit(directory: Path) -> None:
    with (directory / locks.KEYS).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(GatewayError, match="Another process"):
            credentials.deliver(lambda: KEYS, directory, seconds=0.1)
    assert credentials.deliver(lambda: KEYS, directory, seconds=0.1) is True
