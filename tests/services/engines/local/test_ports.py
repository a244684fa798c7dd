from __future__ import annotations

import socket

import pytest

from services.engines.local.ports import allocate, is_free
from services.errors import EngineError


def test_ports_that_are_written_down_or_in_use_are_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert not is_free(port)
        ports = allocate(2, {port + 1}, first=port, last=port + 50)
    assert port not in ports
    assert port + 1 not in ports
    assert len(set(ports)) == 2


def test_a_full_range_is_an_error_that_names_it() -> None:
    with pytest.raises(EngineError, match="between 18000 and 18001"):
        allocate(2, {18000}, first=18000, last=18001)


def test_an_address_of_another_machine_is_not_free() -> None:
    assert not is_free(8000, "192.0.2.1")


def test_two_homes_look_for_their_ports_in_different_places() -> None:
    one = allocate(3, set(), near="/home/a/var")
    assert one == allocate(3, set(), near="/home/a/var")
    assert not set(one) & set(allocate(3, set(), near="/home/b/var"))


def test_the_whole_range_is_looked_through_wherever_it_begins() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
    assert sorted(allocate(1, {port + 1, port + 2}, first=port, last=port + 2, near="x")) == [port]
