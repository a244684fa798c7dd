from __future__ import annotations

import socket
from pathlib import Path

from console.stack import ready


def test_a_socket_file_that_nobody_listens_on_is_not_ready(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert not ready.accepts(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert not ready.accepts(path)
        server.listen()
        assert ready.accepts(path)
    assert path.exists()
    assert not ready.accepts(path)
