"""Archives, good and bad, and what a source makes of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import SourceError
from datasets.sources.base import Site
from datasets.sources.http.source import HttpSource
from tests.datasets.sources.wire import Wire, holding, serving

RANDOM = os.urandom(700_000)
NAMES: dict[str, bytes] = {
    "svm/config.pbtxt": b'backend: "python"\n',
    "svm/1/model.py": b"print('hello')\n" * 100,
    "svm/1/weights.bin": RANDOM,
    "svm/1/zeros": bytes(300_000),
    "empty": b"",
    "deep/er/ü \u4f60 name": b"text",
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda data: data,
    "tar.gz": gzip.compress,
    "tgz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


def tarred(files: dict[str, bytes] = NAMES, *more: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of `files`, an empty folder, and `more` members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        folder = tarfile.TarInfo("svm/2")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(body), 1_700_000_000, 0o755 if name.endswith(".py") else 0o644
            tar.addfile(info, io.BytesIO(body))
        for info in more:
            tar.addfile(info)
    return buffer.getvalue()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(files: dict[str, bytes] = NAMES, method: int = zipfile.ZIP_DEFLATED, change: Any = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as opened:
        opened.writestr("svm/2/", b"")
        for name, body in files.items():
            info = zipfile.ZipInfo(name, (2024, 1, 2, 3, 4, 6))
            info.create_system, info.compress_type = 3, method
            info.external_attr = (0o100755 if name.endswith(".py") else 0o100644) << 16
            if change is not None:
                change(info)
            opened.writestr(info, body)
    return buffer.getvalue()


def source(wire: Wire, name: str, spooled: Path | None = None) -> HttpSource:
    return HttpSource({"url": wire.url(f"/{name}")}, Site(endpoints=(wire.endpoint,), spool=spooled))


@contextmanager
def open_archive(name: str, data: bytes) -> Iterator[HttpSource]:
    """The source of an archive that a web server has."""
    with serving(holding({f"/{name}": data})) as wire:
        yield source(wire, name)


def refused(name: str, data: bytes, path: str = "", spooled: Path | None = None) -> SourceError:
    """What a plan of the archive says, however the server gives it."""
    errors = []
    for ranges in (True, False):
        with serving(holding({f"/{name}": data}, ranges=ranges)) as wire, pytest.raises(SourceError) as caught:
            source(wire, name, spooled).plan(path)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    return errors[0]


ARCHIVES = {
    **{f"m.{ending}": pack(tarred()) for ending, pack in PACKINGS.items()},
    "gnu.tar": tarred(form=tarfile.GNU_FORMAT),
    "ustar.TAR.GZ": gzip.compress(tarred(form=tarfile.USTAR_FORMAT)),
    "several.tar.gz": gzip.compress(tarred()[:1_000_000]) + gzip.compress(tarred()[1_000_000:]) + bytes(512),
    "m.zip": zipped(),
    "stored.zip": zipped(method=zipfile.ZIP_STORED),
    "prefixed.zip": b"#!/bin/sh\n" * 99 + zipped(),
}
