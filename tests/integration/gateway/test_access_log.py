"""The access log is rotated under a running Envoy, which loses no line."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.actions import access_log
from services.errors import GatewayError
from services.gateway.envoy import names
from tests.integration.gateway.stage import Stage
from tests.services.gateway.rig import until

pytestmark = pytest.mark.integration


def ask(stage: Stage, mark: str) -> None:
    assert stage.gateway.call("GET", f"/nothing/{mark}").status == 404


def holds(path: Path, mark: str) -> bool:
    return path.exists() and mark in path.read_text()


def test_lines_go_on_in_a_new_file_and_three_old_ones_are_kept(fresh_stage: Stage) -> None:
    directory = fresh_stage.gateway.directory
    log = directory / names.ACCESS_LOG
    for number in range(5):
        mark = f"agent-{number}"
        ask(fresh_stage, mark)
        until(lambda mark=mark: holds(log, mark))  # type: ignore[misc]
        assert access_log.rotate(directory, limit=10, kept=3)
    ask(fresh_stage, "the-last")
    until(lambda: holds(log, "the-last"))
    assert "agent-" not in log.read_text()
    kept = {path.name: path.read_text() for path in directory.glob("access.log.*")}
    assert sorted(kept) == ["access.log.1", "access.log.2", "access.log.3"]
    assert [f"agent-{number}" in kept[f"access.log.{5 - number}"] for number in (4, 3, 2)] == [True, True, True]


def test_a_small_log_stays(fresh_stage: Stage) -> None:
    directory = fresh_stage.gateway.directory
    ask(fresh_stage, "agent-0")
    until(lambda: holds(directory / names.ACCESS_LOG, "agent-0"))
    assert not access_log.rotate(directory, limit=access_log.LIMIT)
    assert not list(directory.glob("access.log.*"))


def test_an_envoy_that_could_not_be_told_is_told_the_next_time(fresh_stage: Stage) -> None:
    directory = fresh_stage.gateway.directory
    log, socket = directory / names.ACCESS_LOG, directory / names.ADMIN_SOCKET
    ask(fresh_stage, "before")
    until(lambda: holds(log, "before"))
    socket.rename(directory / "aside")
    with pytest.raises(GatewayError):
        access_log.rotate(directory, limit=10)
    ask(fresh_stage, "meanwhile")
    until(lambda: holds(directory / "access.log.1", "meanwhile"))
    (directory / "aside").rename(socket)
    assert not access_log.rotate(directory, limit=10)  # nothing to rename, but Envoy is told
    ask(fresh_stage, "afterwards")
    until(lambda: holds(log, "afterwards"))
