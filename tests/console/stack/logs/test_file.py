from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from console.stack import supervise
from console.stack.logs import file as logfile
from console.stack.logs.file import LogFile


class Disk:
    """os, with a `write` that takes `room` bytes and then fails."""

    def __init__(self, room: int, code: int = errno.ENOSPC) -> None:
        self.room, self.code = room, code

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, descriptor: int, content: Any) -> int:
        if self.room <= 0:
            raise OSError(self.code, os.strerror(self.code))
        count = os.write(descriptor, content[: self.room])
        self.room -= count
        return count


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(1 << 30)
    monkeypatch.setattr(logfile, "os", disk)
    return disk


def log_in(folder: Path, **options: int) -> LogFile:
    return LogFile(folder / "x.log", **{"max_bytes": 100, "backups": 2, **options})


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_it_adds_to_what_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        log = log_in(tmp_path)
        log.write(b"a line\n")
        log.close()
    assert texts(tmp_path) == {"x.log": "a line\na line\n"}
    assert (tmp_path / "x.log").stat().st_mode & 0o777 == 0o600


def test_it_keeps_so_many_files_of_about_that_size(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    for number in range(95):
        log.write(f"line {number:5}\n".encode())
    logs = texts(tmp_path)
    assert sorted(logs) == ["x.log", "x.log.1", "x.log.2"]
    assert max(map(len, logs.values())) <= 100 + len("line     0\n")
    text = logs["x.log.2"] + logs["x.log.1"] + logs["x.log"]
    assert text.split("\n") == [*(f"line {number:5}" for number in range(70, 95)), ""]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_what_the_disk_does_not_take_is_dropped_and_the_log_says_how_much(
    tmp_path: Path, disk: Disk, code: int
) -> None:
    log = log_in(tmp_path, max_bytes=10_000)
    disk.code, disk.room = code, len("first\nsec")
    log.write(b"first\n")
    log.write(b"second\n")
    log.write(b"third\n")
    disk.room = 1000
    log.write(b"fourth\n")
    missing = len("ond\nthird\n")
    note = f"[{missing} bytes of this log are missing: {os.strerror(code)}]"
    assert texts(tmp_path) == {"x.log": f"first\nsec\n{note}\nfourth\n"}


def test_a_log_that_cannot_be_opened_is_opened_by_a_later_write(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    log = LogFile(folder / "x.log", max_bytes=100, backups=1)
    log.write(b"lost\n")
    folder.mkdir()
    log.write(b"kept\n")
    assert (folder / "x.log").read_text() == "[5 bytes of this log are missing: No such file or directory]\nkept\n"


def test_its_size_is_bounded_also_when_no_older_file_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "x.log.1").mkdir()
    (tmp_path / "x.log.1" / "in the way").touch()
    log = log_in(tmp_path)
    for _ in range(100):
        log.write(b"0123456789\n")
    assert (tmp_path / "x.log").stat().st_size <= 111


@pytest.mark.parametrize(
    ("template", "message", "text"),
    [
        ("%(message)s", b"\xff raw\n", b"\xff raw\n"),
        ("%(levelname)s %(message)s\n", "all of %(name)s", b"INFO all of it\n"),
        ("%(levelname)s %(message)s\n", "%(other)s", b"%(other)s\n"),
    ],
)
def test_what_supervisord_says_is_in_the_log(tmp_path: Path, template: str, message: Any, text: bytes) -> None:
    from supervisor import loggers

    logger = loggers.getLogger(loggers.LevelsByName.INFO)
    supervise.handle_file(logger, str(tmp_path / "x.log"), template, rotating=True, maxbytes=1000, backups=1)
    options = {} if isinstance(message, bytes) else {"name": "it"}
    logger.info(message, **options)
    logger.debug("not this")
    assert (tmp_path / "x.log").read_bytes() == text


def test_supervisords_own_output_never_raises() -> None:
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True)
    with pytest.raises(OSError, match="No space left"):
        full.write("a traceback\n")
    output = supervise.Output(full)
    assert output.write("a traceback\n") == 12
    output.flush()


def test_a_program_that_failed_for_long_is_tried_again_soon() -> None:
    def change_state(self: Any, _new_state: int, _expected: bool) -> bool:
        self.delay = 1e12
        return True

    from supervisor.process import ProcessStates

    changed = supervise.limit_pauses(change_state)
    ours = SimpleNamespace(config=SimpleNamespace(startretries=supervise.NEVER_GIVE_UP), delay=0.0)
    replica = SimpleNamespace(config=SimpleNamespace(startretries=3), delay=0.0)
    for program in (ours, replica):
        changed(program, ProcessStates.BACKOFF)
    assert ours.delay < 1e11
    assert replica.delay == 1e12
