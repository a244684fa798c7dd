"""The bridge as a process, without any backend: how it starts, reads its table and ends."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from console.files import replace
from services.clients.unix_http import UnixConnection
from tests.integration.bridge.rig import Bridge, entry, running
from tests.integration.engine_home import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("bridge")]


@pytest.fixture(scope="module")
def started() -> Iterator[Bridge]:
    with running({"rows": entry("triton", public=True)}, {"rows": 1}) as process:
        yield process


@pytest.fixture
def bridge(started: Bridge) -> Bridge:
    """Started again after a test that ended it."""
    assert started.process is not None
    if started.process.poll() is not None:
        started.start()
    return started


def test_its_sockets_are_the_owners_and_it_listens_on_no_port(bridge: Bridge) -> None:
    assert bridge.http.parent.stat().st_mode & 0o777 == 0o700
    assert bridge.http.stat().st_mode & 0o077 == bridge.grpc.stat().st_mode & 0o077 == 0
    assert bridge.process is not None
    assert psutil.Process(bridge.process.pid).net_connections("inet") == []


def test_idle_connections_do_not_delay_its_end(bridge: Bridge) -> None:
    idle = UnixConnection(bridge.http, 5)
    idle.request("GET", "/healthz")
    assert idle.getresponse().read()
    began = time.monotonic()
    assert bridge.end() == 0
    assert time.monotonic() - began < 10
    idle.close()


def test_a_second_one_in_the_same_folder_does_not_start_and_harms_nothing(bridge: Bridge) -> None:
    assert bridge.process is not None
    command = [str(word) for word in bridge.process.args]  # type: ignore[union-attr]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "Another bridge already serves" in second.stderr
    assert bridge.get("/healthz").status == 200


def test_a_damaged_table_changes_nothing_and_a_good_one_is_taken_up(bridge: Bridge) -> None:
    replace(bridge.root / "bridge.json", b"{")
    wait_for(lambda: bridge.log, lambda text: "the last good table stays" in text)
    assert bridge.get("/v1/models").data["models"] == ["rows"]
    bridge.services["more"] = entry("triton", public=True)
    bridge.publish()
    wait_for(lambda: bridge.get("/v1/models").data["models"], ["more", "rows"].__eq__)
    assert bridge.log.count("the last good table stays") == 1


def test_it_starts_again_after_kill_9(bridge: Bridge) -> None:
    assert bridge.end(signal.SIGKILL) == -signal.SIGKILL
    assert bridge.http.exists()
    bridge.start()
    assert bridge.get("/v1/models").status == 200
