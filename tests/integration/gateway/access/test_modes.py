"""Sockets, folders and files are their owner's, also for a user whose umask gives everything to everybody."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.gateway.envoy import names
from services.gateway.envoy.inside import EGRESS_SOCKET
from services.gateway.envoy.tls import Tls
from tests.integration.bridge.rig import entry, running
from tests.servers.gateway.rig import Gateway, until
from tests.services.gateway import pki, snapshots

pytestmark = pytest.mark.integration


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def reachable(path: Path, root: Path) -> bool:
    """By another user who gets as far as `root`."""
    folders = [each for each in path.parents if each.is_relative_to(root) and each != root]
    return bool(mode(path) & 0o077) and not any(mode(each) & 0o001 == 0 for each in folders)


@pytest.mark.parametrize("exists", [False, True], ids=["a folder of its own", "a folder that is everybody's"])
def test_what_the_gateway_makes_is_its_owners(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "g"
    authority = pki.authority(tmp_path / "pki")
    pair = pki.issue(authority, tmp_path / "pki", "first")
    with umask(0):
        if exists:
            folder.mkdir(mode=0o777)
        snapshot = snapshots.CASES["keys"]
        tls = Tls(pair.certificate, pair.key, authority.certificate)
        with Gateway.started(folder, snapshot, tls=tls) as gateway:
            until(
                lambda: gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=snapshots.ADMIN).status == 503
            )
    for socket in (names.ADMIN_SOCKET, EGRESS_SOCKET):
        assert stat.S_ISSOCK((folder / socket).stat().st_mode)
        assert mode(folder / socket) == 0o600
    if not exists:
        assert mode(folder) == 0o700
    assert mode((folder / names.ACCESS_LOG).parent) == 0o700
    # The rig's own log, and what has nothing in it.
    mine = {"envoy.log", ".publish.lock", ".checked"}
    files = [path for path in folder.rglob("*") if not path.is_dir() and path.name not in mine]
    assert any("PRIVATE KEY" in path.read_text() for path in files if path.suffix == ".json")
    assert [path for path in files if reachable(path, folder)] == []
    assert {mode(folder / name) for name in (names.KEYS, names.BOOTSTRAP, names.ROUTES)} == {0o600}


def test_the_bridges_folder_and_sockets_are_its_owners() -> None:
    with umask(0), running({"rows": entry("triton", public=True)}, {"rows": 1}) as bridge:
        assert mode(bridge.http.parent) == 0o700
        assert stat.S_ISSOCK(bridge.http.stat().st_mode)
        assert [path for path in bridge.http.parent.iterdir() if mode(path) & 0o077] == []
