"""A home as commit f0de120 left it, put together again: make_home.py says how it was made and what is in it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

from console.home import Home
from tests.upgrade.make_home import CREDENTIALS_KEY, DUMP, HOME, KEYS, PLACE, SESSION_KEY


def restore(root: Path, runtimes: Path) -> Home:
    """At `root`, as if that installation had always been there. Its database has not been migrated yet."""
    home = Home(root, runtimes)
    with sqlite3.connect(home.database) as database:
        database.executescript((HOME / DUMP).read_text().replace(PLACE, str(root)))
    database.close()
    home.secret_key.write_text(SESSION_KEY)
    home.secrets_key.write_text(CREDENTIALS_KEY)
    _restore_files(home)
    return home


def keys() -> dict[str, str]:
    """The API keys in plain text, by the name that make_home.py gave each."""
    texts: dict[str, str] = json.loads((HOME / KEYS).read_text())
    return texts


def _restore_files(home: Home) -> None:
    """The store, whose trees are hard links to its blobs, and the dataset that they were copied from."""
    shutil.copytree(HOME / "store", home.store)
    for blob in home.store.glob("blobs/*/*"):
        blob.chmod(0o400)
    for manifest in home.store.glob("manifests/*.json"):
        for name, _size, digest in json.loads(manifest.read_text())["files"]:
            blob = home.store / "blobs" / digest[:2] / digest
            source, copy = home.root / "datasets" / "echo" / name, home.store / "trees" / manifest.stem / name
            for file in (source, copy):
                file.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(blob.read_bytes())
            copy.hardlink_to(blob)
