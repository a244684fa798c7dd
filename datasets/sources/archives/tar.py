"""What is in a tar. The standard library reads the headers; nothing is extracted by it."""

from __future__ import annotations

import tarfile

from datasets.errors import SourceError
from datasets.sources.archives.blob import Blob, Reader
from datasets.sources.archives.members import MAX_MEMBERS, Member, Members, NotAnArchive, Problem, member_name

_OUTSIDE = Problem("a link that leads outside of the archive", "Put the file itself there (tar -h), or leave it out.")
MAX_LINKS = 40
"""From one to the next, as Linux has it."""
MAX_HEADER = 256 << 10
"""Bytes of everything that says something about one member: long names, extended attributes."""


def members(blob: Blob, name: str) -> Members:
    """Raises SourceError for what is no tar, is torn, or has a name that leads out of it."""
    listing = Members()
    links: dict[str, str] = {}
    reader = Reader(blob, name)
    reader.allow(MAX_HEADER)
    try:
        with tarfile.open(fileobj=reader, mode="r:", errorlevel=2) as tar:
            for _ in range(MAX_MEMBERS):
                reader.allow(MAX_HEADER)
                if (info := tar.next()) is None:
                    break
                tar.members = []  # type: ignore[attr-defined]  # it would keep every header otherwise
                _add(info, listing, links, blob, name)
            else:
                raise SourceError(f"{name} has more than {MAX_MEMBERS} members.", refused="archive")
            _require_end(blob, tar.offset, name)
    except (tarfile.TarError, OSError, ValueError, RecursionError, OverflowError) as error:
        raise NotAnArchive(name, "tar") from error
    resolve(listing, links)
    return listing


def _add(info: tarfile.TarInfo, listing: Members, links: dict[str, str], blob: Blob, name: str) -> None:
    path = member_name(info.name, name)
    if not path:
        return
    holes = info.issparse()  # then its size is not that of its bytes
    if info.size < 0 or (info.isreg() and not holes and info.offset_data + info.size > blob.size):
        raise NotAnArchive(name, "tar")
    # What comes later replaces what came before, as when it is unpacked.
    listing.files.pop(path, None)
    listing.problems.pop(path, None)
    links.pop(path, None)
    if info.isdir():
        listing.folders.add(path)
    elif holes:
        listing.problems[path] = Problem(
            "stored with holes, which is not supported", "Make the archive without --sparse."
        )
    elif info.isreg():
        listing.files[path] = Member(
            path,
            info.size,
            info.offset_data,
            modified=max(0.0, float(info.mtime)),
            executable=bool(info.mode & 0o100),
        )
    elif info.islnk():
        links[path] = "/" + info.linkname
    elif info.issym() and not info.linkname.startswith("/"):
        links[path] = info.linkname
    elif info.issym():
        listing.problems[path] = _OUTSIDE
    else:
        listing.problems[path] = Problem("neither a file nor a folder", needed=False)


def resolve(listing: Members, links: dict[str, str]) -> None:
    """Links to files of the archive become those files; others are problems."""
    folders = listing.folders | _above([*listing.files, *listing.problems, *links])
    for path, link in links.items():
        here, target, seen = path, link, {path}
        while True:
            # A hard link's target is as seen from the root of the archive, marked with a slash by `_add`.
            destination = _join("" if target.startswith("/") else here.rpartition("/")[0], target)
            if destination is None:
                listing.problems[path] = _OUTSIDE
                break
            if destination in seen or len(seen) > MAX_LINKS:
                listing.problems[path] = Problem("a link that leads in a circle", needed=False)
                break
            if (file := listing.files.get(destination)) is not None:
                listing.files[path] = Member(path, file.size, file.offset, file.modified, file.executable)
                break
            if destination not in links:
                listing.problems[path] = _ending(listing, folders, link, destination)
                break
            seen.add(destination)
            here, target = destination, links[destination]


def _above(paths: list[str]) -> set[str]:
    """All folders that these lie in; "" is the archive itself."""
    folders = {""}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _ending(listing: Members, folders: set[str], link: str, destination: str) -> Problem:
    """What a link is that ends at `destination`, which is no file."""
    if destination in listing.problems:
        other = listing.problems[destination]
        return Problem(f"a link to {destination}, which is {other.reason}", other.hint, other.needed)
    if destination in folders:
        return Problem("a link to a folder", "Put the folder itself there (tar -h), or choose another folder.")
    # What a hard link shares its content with must be there, or the archive is a part of another.
    return Problem(f"a link to {link.removeprefix('/')}, which is not in the archive", needed=link.startswith("/"))


def _join(folder: str, target: str) -> str | None:
    """None when it leads above the root."""
    parts = folder.split("/") if folder else []
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def _require_end(blob: Blob, offset: int, name: str) -> None:
    """A tar ends with a block of zeros, or just ends; the library also stops, silently, at what is no header."""
    with blob.stream(offset, max(0, min(512, blob.size - offset))) as rest:
        if any(rest.readall() or b""):
            raise NotAnArchive(name, "tar")
