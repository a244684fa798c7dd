from __future__ import annotations

import socket
from pathlib import Path

import pytest

from services.bridge import sockets


def test_the_folder_is_the_owners_and_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir(mode=0o755)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "http.sock"))
    with sockets.claimed(folder) as paths:
        assert not paths.http.exists()
        assert folder.stat().st_mode & 0o777 == 0o700


def test_two_bridges_do_not_share_a_folder(tmp_path: Path) -> None:
    with sockets.claimed(tmp_path / "b"), pytest.raises(sockets.Taken), sockets.claimed(tmp_path / "b"):
        pass
    with sockets.claimed(tmp_path / "b"):
        pass
