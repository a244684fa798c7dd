"""A wait for an answer that never begins ends when another thread says so."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.errors import Cancelled, SourceError
from datasets.preheat.copying.copy import copy
from datasets.preheat.journal import Staging
from datasets.sources.base import Body, Site
from datasets.sources.http.source import HttpSource
from datasets.sources.net.client import Web
from datasets.sources.net.sockets import Network
from datasets.specs import Plan, SourceFile


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


class Silent(HttpSource):
    """Its files are known; the server that has them says nothing."""

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        self._web = self._web or Web(Network(self._site.endpoints))
        return self._web.open(self._options["url"]).body


def test_cancelling_a_round_does_not_wait_for_a_silent_server(silent: int, tmp_path: Path) -> None:
    source = Silent({"url": f"http://127.0.0.1:{silent}/"}, Site(endpoints=(f"127.0.0.1:{silent}",)))
    plan = Plan(tuple(SourceFile(f"{number}.bin", 1000, "1") for number in range(20)), "f")
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.5:
            raise Cancelled("Cancelled.")

    with Staging(tmp_path / "staging") as staging, pytest.raises(Cancelled):
        copy(plan, source, "", staging, check=check)
    assert time.monotonic() - began < 20
