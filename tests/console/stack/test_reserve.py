"""Room that is set aside, on a small disk that is full."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.home import Home
from console.stack import reserve
from tests.integration.small_disk import MIB, SmallDisk, run_in_a_namespace, small_disk

pytestmark = [pytest.mark.integration]


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(64 * MIB) as disk:
        yield disk


def home_on(disk: SmallDisk) -> Home:
    return Home(disk.folder, disk.folder / "runtimes")


def access_log(home: Home) -> Path:
    path = home.gateway / "log" / "access.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_an_access_log_goes_on_growing_on_a_full_disk(disk: SmallDisk) -> None:
    log = access_log(home_on(disk))
    log.write_bytes(b"a line\n")
    assert reserve.keep(home_on(disk)) >= MIB
    assert log.read_bytes() == b"a line\n"
    disk.fill()
    with pytest.raises(OSError, match="No space left"), (disk.folder / "other").open("wb") as other:
        other.write(b"x" * 4096)
    with log.open("ab") as file:
        file.write(b"x" * (MIB // 2))
    assert log.stat().st_size == len(b"a line\n") + MIB // 2


def test_what_was_used_is_set_aside_again_and_no_more_than_that(disk: SmallDisk) -> None:
    home = home_on(disk)
    log = access_log(home)
    log.touch()
    once = reserve.keep(home)
    assert reserve.keep(home) == once
    log.write_bytes(b"x" * (3 * MIB // 4))
    assert reserve.keep(home) >= MIB // 2
    assert disk.free > 60 * MIB


def test_a_database_takes_changes_on_a_full_disk(disk: SmallDisk) -> None:
    home = home_on(disk)
    database = sqlite3.connect(home.database, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE t (text)")
    database.execute("INSERT INTO t VALUES ('before')")
    reserve.keep(home)
    disk.fill()
    for _ in range(20):
        database.execute("INSERT INTO t VALUES (?)", ["x" * 10_000])
    assert database.execute("SELECT count(*) FROM t").fetchone() == (21,)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_nothing_to_set_aside_for_and_no_room_are_no_errors(disk: SmallDisk) -> None:
    home = home_on(disk)
    assert reserve.keep(home) == 0
    access_log(home).touch()
    disk.fill()
    assert reserve.keep(home) < MIB
    assert reserve.keep(Home(Path("/nowhere"), Path("/nowhere"))) == 0


def test_a_file_system_that_cannot_is_no_error(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    access_log(home_on(disk)).touch()
    monkeypatch.setattr(reserve, "_fallocate", lambda *_: -errno.EOPNOTSUPP)
    assert reserve.keep(home_on(disk)) == 0


def test_the_same_in_a_namespace_where_nothing_may_be_mounted_outside() -> None:
    run_in_a_namespace(__file__)
