"""What every fault must end in: the complete verified model, or a clear message and no model at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from datasets.preheat.store import upkeep
from tests.integration.preheat.plane import Plane
from tests.servers.proxy import Proxy
from tests.servers.s3 import Bucket

HEADERS = 2 << 20
"""Bytes that may pass besides contents: headers and listings."""


def point(plane: Plane, bucket: Bucket, proxy: Proxy) -> None:
    """The plane's dataset is that bucket, as the proxy shows it."""
    options = {**bucket.options, "endpoint": f"http://127.0.0.1:{proxy.port}"}
    credentials = {"secret_key": options.pop("secret_key")}
    plane.place = {"kind": "s3", "options": options, "credentials": credentials}


def assert_whole(plane: Plane, row: dict[str, Any], contents: Mapping[str, bytes]) -> None:
    """The round is done; its tree is exactly these files, read again from the disk, and nothing is left over."""
    assert (row["state"], row["message"]) == ("DONE", "")
    manifest = plane.store.manifest(row["tree"])
    assert manifest is not None
    expected = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    assert {file.path: file.sha256 for file in manifest.files} == expected
    assert upkeep.verify(plane.store, row["tree"]) == []
    assert plane.published() == [row["tree"]]


def assert_none(plane: Plane) -> None:
    """Not even a part of a model can be found in the store."""
    assert plane.published() == []
