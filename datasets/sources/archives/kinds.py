"""Which kind of archive a file is: by its name, and by its first bytes, which have the last word. No I/O."""

from __future__ import annotations

import re
from typing import Final

from datasets.errors import SourceError

ENDINGS: Final = {
    ".tar": ("tar", ""),
    ".tar.gz": ("tar", "gz"),
    ".tgz": ("tar", "gz"),
    ".tar.bz2": ("tar", "bz2"),
    ".tbz2": ("tar", "bz2"),
    ".tbz": ("tar", "bz2"),
    ".tar.xz": ("tar", "xz"),
    ".txz": ("tar", "xz"),
    ".tar.zst": ("tar", "zst"),
    ".tzst": ("tar", "zst"),
    ".zip": ("zip", ""),
}
"""What a name ends in: kind of archive, and how it is packed."""
UNREAD: Final = {
    ".7z": "7z",
    ".rar": "RAR",
    ".tar.lz4": "lz4",
    ".tar.lz": "lzip",
    ".tar.lzma": "LZMA",
    ".tlz": "LZMA",
    ".tar.z": "compress",
    ".taz": "compress",
    ".tar.br": "Brotli",
    ".zip.001": "split",
    ".7z.001": "split",
    ".z01": "split",
    ".tar.001": "split",
}
"""What the names of archives end in that are not read."""
HEAD: Final = 512
"""First bytes that tell."""
_PACKINGS: Final = (
    (re.compile(rb"\x1f\x8b\x08"), "gz"),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bz2"),
    (re.compile(rb"\xfd7zXZ\0"), "xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "zst"),
)
_OTHERS: Final = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x04\x22\x4d\x18": "packed with lz4",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself",
    b"PK\x07\x08": "a zip in several parts",
}
_PAGES: Final = (b"<!doctype html", b"<html", b"<?xml")


def by_name(name: str) -> tuple[str, str] | None:
    """Kind and packing of an archive that is read; None for any other name."""
    return next((kind for ending, kind in ENDINGS.items() if name.lower().endswith(ending)), None)


def unread(name: str) -> str:
    """The kind of an archive that is not read; "" for any other name."""
    return next((kind for ending, kind in UNREAD.items() if name.lower().endswith(ending)), "")


def is_archive(name: str) -> bool:
    return by_name(name) is not None or bool(unread(name))


def packing_of(head: bytes) -> str:
    """A key of unpack.UNPACKERS, "zst", or "" for what is not packed."""
    return next((packing for magic, packing in _PACKINGS if magic.match(head)), "")


def kind_of(head: bytes) -> str:
    """ "zip", "tar", or "" where the first bytes do not tell: old tars begin with a name."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if head[257:262] == b"ustar" else ""


def what_else(head: bytes) -> str:
    """What a file that is no archive seems to be, after "is"; "" when that cannot be told."""
    if head.lstrip()[:16].lower().startswith(_PAGES):
        return "a web page"
    return next((what for magic, what in _OTHERS.items() if head.startswith(magic)), "")


def not_supported(name: str, kind: str) -> SourceError:
    kinds = "split archives" if kind == "split" else f"{kind} archives"
    return SourceError(
        f"{name} cannot be read: {kinds} are not supported.",
        hint="Make it a zip or a tar, packed with gzip, bzip2 or xz if at all.",
    )
