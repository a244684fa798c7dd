"""A Hugging Face Hub of a test's own: a real process that speaks its HTTP API, and what a test sees and sets of it.

    with hub(tmp_path / "hub") as server:
        commit = server.push("org/model", folder)

That the official client takes it for the real one is a test itself:
tests/integration/datasets/huggingface/test_hub.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LARGE = (".safetensors", ".bin", ".onnx", ".gguf")
"""What .gitattributes sends to large-file storage, besides everything above 10 MiB."""
LARGE_BYTES = 10 << 20
REPOSITORY = Path(__file__).resolve().parents[2]


class Hub:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub_port = self.cdn_port = 0
        self.scheme = "http"
        (folder / "blobs").mkdir(parents=True)
        self.settings: dict[str, Any] = {
            "tokens": [],
            "page": 1000,
            "cdn_key": "first",
            "cdn_seconds": 3600,
            "cdn_host": "127.0.0.1",
            "faults": [],
            "cut_after": None,
            "damage": False,
            "direct": False,
        }
        self.set()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.hub_port}"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Both sides, as an administrator would allow them."""
        return (f"127.0.0.1:{self.hub_port}", f"127.0.0.1:{self.cdn_port}")

    def set(self, **changes: Any) -> None:
        """Settings of the server, from the next request on: see tests/servers/hub_server.py.

        `cdn_key`: another one makes every URL signed before invalid, as if it had expired.
        `faults`: [{"match": part of a path, "side": "hub" or "cdn", "status": 429, "headers": {...}}].
        `cut_after`: bytes after which the CDN breaks off; `damage`: it flips a bit. `direct`: there is no CDN.
        """
        self.settings |= changes
        _write(self.folder / "settings.json", self.settings)

    def push(
        self, repo: str, files: Path, branch: str = "main", *, xet: bool = False, link: bool = False, **access: Any
    ) -> str:
        """A commit with every file below `files`, which `branch` points at from now on. Returns its id.

        `access`: private, gated (True), readers (tokens that may read it), disabled, moved (its new name).
        `link`: hard links instead of copies, for large files that nobody changes.
        """
        tree = {}
        for path in sorted(files.rglob("*")):
            if path.is_file():
                tree[path.relative_to(files).as_posix()] = self._blob(path, xet=xet, link=link)
        place = self.folder / "repos" / repo
        place.mkdir(parents=True, exist_ok=True)
        stored = (
            json.loads((place / "repo.json").read_text())
            if (place / "repo.json").exists()
            else {
                "private": False,
                "gated": False,
                "readers": [],
                "disabled": False,
                "moved": "",
                "refs": {},
            }
        )
        commit = hashlib.sha1(json.dumps([tree, stored["refs"]]).encode()).hexdigest()
        _write(place / f"{commit}.json", tree)
        _write(place / "repo.json", {**stored, **access, "refs": {**stored["refs"], branch: commit}})
        return commit

    def change(self, repo: str, **access: Any) -> None:
        path = self.folder / "repos" / repo / "repo.json"
        _write(path, {**json.loads(path.read_text()), **access})

    def rewrite(self, repo: str, commit: str, path: str, content: bytes) -> None:
        """Another content under the same commit, which git would not do."""
        place, part = self.folder / "repos" / repo / f"{commit}.json", self.folder / Path(path).name
        part.write_bytes(content)
        _write(place, {**json.loads(place.read_text()), path: self._blob(part, xet=False, link=False)})

    def requests(self, side: str = "", method: str = "") -> list[dict[str, str]]:
        """What came in so far: side, method, path, range, authorization, agent."""
        path = self.folder / "requests.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if side in ("", line["side"]) and method in ("", line["method"])]

    def forget_requests(self) -> None:
        (self.folder / "requests.jsonl").unlink(missing_ok=True)

    def _blob(self, path: Path, *, xet: bool, link: bool) -> dict[str, Any]:
        size = path.stat().st_size
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        if path.suffix in LARGE or size > LARGE_BYTES:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
            row: dict[str, Any] = {
                "size": size,
                "oid": git_oid(pointer),
                "lfs": {"oid": sha256, "size": size, "pointerSize": len(pointer)},
            }
            if xet:
                row["xetHash"] = hashlib.sha256(b"xet" + sha256.encode()).hexdigest()
            name = sha256
        else:
            row = {"size": size, "oid": git_oid(path.read_bytes())}
            name = row["oid"]
        target = self.folder / "blobs" / name
        if not target.exists():
            os.link(path, target) if link else shutil.copyfile(path, target)
        return row


def git_oid(content: bytes) -> str:
    """What git calls a blob of that content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _write(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value))
    part.replace(path)


@contextmanager
def hub(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[Hub]:
    """A server that is up, and gone afterwards; over TLS if it gets a certificate and its key (PEM)."""
    server = Hub(folder)
    server.scheme = "https" if certificate else "http"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.hub_server", str(folder), *map(str, certificate or ())],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        ports = json.loads(process.stdout.readline())
        server.hub_port, server.cdn_port = ports["hub"], ports["cdn"]
        yield server
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
