"""The kernel's own account of real connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.clients.kernel.connections import held
from tests.integration.engine_home import short_home
from tests.servers.gateway.rig import until


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_home("co-") as home:
        home.root.mkdir(exist_ok=True)
        yield home.root


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield server


@contextmanager
def connected(path: Path, server: socket.socket) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        with server.accept()[0]:
            yield


def test_open_connections_are_counted_by_the_file_of_their_socket(folder: Path) -> None:
    first, other, second_name = folder / "first", folder / "other", folder / "second-name"
    with listening(first) as server, listening(other) as also:
        second_name.hardlink_to(first)
        assert held([str(first), str(other)]) == 0
        with connected(first, server), connected(second_name, server), connected(other, also):
            assert held([str(first)]) == held([str(second_name)]) == 2, "through either name"
            assert held([str(first), str(other)]) == 3
        until(lambda: held([str(first)]) == 0)


def test_a_socket_that_is_not_there_has_none(folder: Path) -> None:
    assert held([str(folder / "missing")]) == 0
