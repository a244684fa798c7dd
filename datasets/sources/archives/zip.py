"""What is in a zip, from its directory, and the bytes of a member. Nothing is extracted by the standard library."""

from __future__ import annotations

import calendar
import io
import stat
import struct
import threading
import zipfile
import zlib
from typing import TYPE_CHECKING

from datasets.errors import SourceDamaged, SourceError
from datasets.sources.archives.blob import Blob, Reader
from datasets.sources.archives.members import (
    MAX_MEMBERS,
    MAX_UNPACKED,
    RATIO,
    SLACK,
    Member,
    Members,
    NotAnArchive,
    Problem,
    member_name,
    too_much,
    twice,
)
from datasets.sources.archives.zip_names import name_of
from datasets.sources.base import Body

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_DIRECTORY = 64 << 20
"""Bytes of the directory: of 200,000 files it has about 20 MiB."""
_LOCAL = struct.Struct("<4s22xHH")
_METHODS = {
    1: "shrink",
    6: "implode",
    9: "Deflate64",
    12: "bzip2",
    14: "LZMA",
    20: "zstd",
    93: "zstd",
    95: "xz",
    98: "PPMd",
}
_LINK = Problem("a link, which is not supported in a zip", "Put the file itself there, or use a tar.")
_PIECE = 256 << 10
_SPENT = 64 << 10
_END_BYTES = 22 + (64 << 10)
"""Size of the record at the end, with the longest comment."""


def members(blob: Blob, name: str) -> Members:
    """Raises SourceError for what is no zip, unpacks to too much, or has a name that leads out of it."""
    reader = Reader(blob, name)
    reader.allow(MAX_DIRECTORY)
    listing = Members()
    try:
        with zipfile.ZipFile(reader) as opened:
            rows = opened.infolist()
            end = opened.start_dir
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} says that its names are UTF-8, and one is not.", hint="Make it anew.") from error
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise _unreadable(blob, name) from error
    if len(rows) > MAX_MEMBERS:
        raise SourceError(f"{name} has more than {MAX_MEMBERS} members.", refused="archive")
    if sum(row.file_size for row in rows) > min(RATIO * blob.size + SLACK, MAX_UNPACKED):
        raise too_much(name)
    # In the order of where they lie: two that share bytes are how a small zip unpacks to a huge one.
    following = end
    for row in sorted(rows, key=lambda row: row.header_offset, reverse=True):
        room = following - row.header_offset
        if row.header_offset < 0 or room < _LOCAL.size + row.compress_size:
            raise _unreadable(blob, name)
        _add(row, room, listing, name)
        following = row.header_offset
    return listing


def _unreadable(blob: Blob, name: str) -> SourceError:
    """Its end says whether it is the last of several parts, which the library takes for a damaged zip."""
    size = min(blob.size, _END_BYTES)
    with blob.stream(blob.size - size, size) as end:
        rest = end.readall() or b""
    at = rest.rfind(b"PK\5\6")
    if at >= 0 and int.from_bytes(rest[at + 4 : at + 6], "little") not in {0, 0xFFFF}:
        return SourceError(
            f"{name} is the last part of a zip in several parts, which are not supported.",
            hint="Put them together (zip -s 0 m.zip --out whole.zip).",
        )
    return NotAnArchive(name, "zip")


def _add(row: zipfile.ZipInfo, room: int, listing: Members, name: str) -> None:
    written = name_of(row)
    path = member_name(written, name)
    if not path:
        return
    mode = row.external_attr >> 16 if row.create_system == 3 else 0  # from Unix
    kind = stat.S_IFMT(mode)
    if path in listing.files or path in listing.problems:
        raise twice(name, path)
    if written.endswith("/"):
        listing.folders.add(path)
    elif kind not in {0, stat.S_IFREG}:
        other = Problem("neither a file nor a folder", needed=False)
        listing.problems[path] = _LINK if kind == stat.S_IFLNK else other
    elif row.flag_bits & 0x41:
        listing.problems[path] = Problem("encrypted", "Make the archive anew, without a password.")
    elif row.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        method = _METHODS.get(row.compress_type, f"method {row.compress_type}")
        listing.problems[path] = Problem(
            f"packed with {method}, which is not supported",
            "Make the archive anew with deflate (zip -r, 7z a -mm=Deflate).",
        )
    elif row.compress_type == zipfile.ZIP_STORED and row.compress_size != row.file_size:
        raise NotAnArchive(name, "zip")
    elif row.file_size > RATIO * row.compress_size + SLACK:
        raise too_much(f"{path} in {name}")
    else:
        listing.files[path] = Member(
            path,
            row.file_size,
            row.header_offset,
            _seconds(row),
            executable=bool(mode & 0o100),
            deflated=row.compress_type == zipfile.ZIP_DEFLATED,
            room=room,
            packed=row.compress_size,
            check=f"crc32:{row.CRC:08x}",
        )


def _seconds(row: zipfile.ZipInfo) -> float:
    try:
        return float(max(0, calendar.timegm(row.date_time)))
    except ValueError:
        return 0.0


class Offsets:
    """Where the bytes of stored members begin, which only their local headers say. Serves many threads."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._starts: dict[int, int] = {}
        self._lock = threading.Lock()

    def stream(self, member: Member, offset: int, length: int) -> Body:
        """A part of a member that is stored, straight from the blob."""
        with self._lock:
            start = self._starts.get(member.offset)
        if start is None:
            with self._blob.stream(member.offset, _LOCAL.size) as header:
                start = member.offset + header_length(member, header.readall() or b"")
            with self._lock:
                self._starts[member.offset] = start
        return self._blob.stream(start + offset, length)


def header_length(member: Member, header: bytes) -> int:
    """Bytes from the local header to the content. Raises SourceDamaged when there is no such header."""
    if len(header) < _LOCAL.size:
        raise SourceDamaged(member.path)
    signature, name, extra = _LOCAL.unpack(header[: _LOCAL.size])
    length = int(_LOCAL.size + name + extra)
    if signature != b"PK\x03\x04" or length + member.packed > member.room:
        raise SourceDamaged(member.path)
    return length


class MemberBody(io.RawIOBase):
    """A whole member, read from its local header on: one request at a server, and its connection can be reused.

    Never gives more than the size that the directory says; raises SourceDamaged for less or for more.
    """

    def __init__(self, member: Member, source: Body) -> None:
        super().__init__()
        self._member, self._source = member, source
        self._left, self._packed = member.size, -1
        self._inflate = zlib.decompressobj(-15) if member.deflated else None
        self._pending = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise SourceError("Reading was given up.", permanent=False)
        view = memoryview(buffer)
        if self._ended or not view:
            return 0
        if self._packed < 0:
            self._skip_header()
        if self._inflate is None:
            got = self._stored(view[: self._left])
        else:
            data = self._inflated(self._inflate, min(len(view), self._left))
            got = len(data)
            view[:got] = data
        self._left -= got
        if not got and self._left:
            raise SourceDamaged(self._member.path)
        if not self._left:
            self._end()
        return got

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._source.close()

    def _skip_header(self) -> None:
        header = self._exactly(_LOCAL.size)
        self._exactly(header_length(self._member, header) - _LOCAL.size)
        self._packed = self._member.packed

    def _exactly(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            if not (part := self._source.read(size - len(content))):
                raise SourceDamaged(self._member.path)
            content += part
        return bytes(content)

    def _stored(self, view: memoryview) -> int:
        got = self._source.readinto(view) or 0
        self._packed -= got
        return got

    def _inflated(self, inflate: zlib._Decompress, limit: int) -> bytes:
        """At most `limit` bytes of content; none only at its end."""
        while limit and not inflate.eof:
            data = self._pending
            if not data and self._packed:
                data = self._source.read(min(_PIECE, self._packed)) or b""
                self._packed -= len(data)
            try:
                piece = inflate.decompress(data, limit)
            except zlib.error as error:
                raise SourceDamaged(self._member.path) from error
            self._pending = inflate.unconsumed_tail
            if piece:
                return piece
            if not data and not inflate.eof:
                raise SourceDamaged(self._member.path)
        return b""

    def _end(self) -> None:
        """Looks that nothing more would come, and takes what follows, if short, so that a connection can be reused."""
        if self._inflate is not None and self._inflated(self._inflate, 1):
            raise SourceDamaged(self._member.path)
        left = _SPENT
        while left > 0 and (part := self._source.read(min(left, _PIECE))):
            left -= len(part)
        self._ended = True
