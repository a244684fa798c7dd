"""A home as commit f0de120 left it, put together again.

`git show 395ff19:tests/upgrade/make_home.py` is the program that made it: it ran that commit, used it over its REST API
and its gateway, and kept the database as SQL, with the preheated files beside it. The keys, secrets and passwords are
constants, and open nothing else.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Final

from console.home import Home

HOME: Final = Path(__file__).resolve().parent / "home"
# Stands in the dump for the path of the home.
PLACE: Final = "/home-of-the-test"
PASSWORD: Final = "a password of the tests"
SECRET: Final = "a secret of the tests"
SESSION_KEY: Final = "a session key of the tests, which signs nothing"
CREDENTIALS_KEY: Final = base64.urlsafe_b64encode(b"a credentials key of the tests..").decode()
# How often each service was called with the key of the shop, and how often in vain.
CALLS, REFUSED = 5, 2


def restore(root: Path, runtimes: Path) -> Home:
    """At `root`, as if that installation had always been there. Its database has not been migrated yet."""
    home = Home(root, runtimes)
    with sqlite3.connect(home.database) as database:
        database.executescript((HOME / "console.sql").read_text().replace(PLACE, str(root)))
    database.close()
    home.secret_key.write_text(SESSION_KEY)
    home.secrets_key.write_text(CREDENTIALS_KEY)
    _restore_files(home)
    return home


def keys() -> dict[str, str]:
    """The API keys in plain text, by name."""
    texts: dict[str, str] = json.loads((HOME / "keys.json").read_text())
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
