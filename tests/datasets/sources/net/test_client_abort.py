"""A wait for an answer that never begins ends when another thread says so."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from datasets.errors import SourceError
from datasets.sources.net.client import Web
from datasets.sources.net.sockets import Network


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and requests and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in held:
            each.close()


def test_a_wait_is_ended_by_another_thread(silent: int) -> None:
    web = Web(Network([f"127.0.0.1:{silent}"]))
    threading.Timer(0.3, web.abort).start()
    began = time.monotonic()
    with pytest.raises(SourceError) as caught:
        web.open(f"http://127.0.0.1:{silent}/model.bin")
    assert time.monotonic() - began < 20
    assert not caught.value.permanent


def test_what_was_asked_for_before_an_abort_is_not_waited_for(silent: int) -> None:
    web = Web(Network([f"127.0.0.1:{silent}"]))
    request = web.begin(web.network.require(f"http://127.0.0.1:{silent}/model.bin"), {})
    web.abort()
    began = time.monotonic()
    with pytest.raises(SourceError):
        request.answer()
    assert time.monotonic() - began < 20
