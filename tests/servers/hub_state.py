"""What tests/servers/hub_server.py serves, read from the folder that tests/servers/hub.py writes."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from pathlib import Path
from typing import Any


class State:
    """The folder, with what was parsed kept until the file is another one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.kept: dict[Path, tuple[tuple[int, int], Any]] = {}
        self.cdn_port = 0
        self.scheme = "http"

    def read(self, path: Path) -> Any:
        try:
            info = path.stat()
        except OSError:
            return None
        mark = (info.st_mtime_ns, info.st_ino)
        if (kept := self.kept.get(path)) is None or kept[0] != mark:
            self.kept[path] = kept = (mark, json.loads(path.read_text()))
        return kept[1]

    @property
    def settings(self) -> dict[str, Any]:
        document: dict[str, Any] = self.read(self.folder / "settings.json")
        return document

    def repo(self, name: str) -> dict[str, Any] | None:
        if ".." in name or not name:
            return None
        document: dict[str, Any] | None = self.read(self.folder / "repos" / name / "repo.json")
        return document

    def tree(self, repo: str, commit: str) -> dict[str, dict[str, Any]]:
        document: dict[str, dict[str, Any]] = self.read(self.folder / "repos" / repo / f"{commit}.json")
        return document

    def log(self, line: dict[str, Any]) -> None:
        with self.lock, (self.folder / "requests.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")

    def sign(self, path: str, expires: int) -> str:
        message = f"{path}?{expires}".encode()
        return hmac.new(self.settings["cdn_key"].encode(), message, hashlib.sha256).hexdigest()
