"""Files that hold a pickle: plain ones, joblib's compressed ones, and PyTorch's, which are a zip or five pickles.

Told by their first bytes, as those who load them do, not by their names.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from datasets.inspect.budget import Budget
from datasets.inspect.errors import TooMuch, Unreadable
from datasets.inspect.formats.pickles import UNKNOWN, Findings, follow

ZIP: Final = b"PK\x03\x04"
TORCH_MAGIC: Final = 0x1950A86A20F9469CFC6C
"""The first pickle of PyTorch's old format (torch/serialization.py); five pickles make the file's head."""
TORCH_PICKLES: Final = 5
MOST_DIRECTORY: Final = 8 << 20
"""Bytes of a zip's directory, which must be read as a whole."""
MOST_UNPACKED: Final = 1 << 30
PIECE: Final = 1 << 16
IMPORTABLE: Final = re.compile(r"[A-Za-z_][\w.]*\.\w+")

HARMLESS: Final = frozenset(
    {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_qtensor",
        "torch._utils._rebuild_sparse_tensor",
        "torch.Size",
        "torch.serialization._get_layout",
        "torch.device",
        "_codecs.encode",
        *(
            f"torch.{kind}Storage"
            for kind in (
                "Float",
                "Double",
                "Half",
                "BFloat16",
                "Byte",
                "Char",
                "Short",
                "Int",
                "Long",
                "Bool",
                "QInt8",
                "QUInt8",
                "QInt32",
                "ComplexFloat",
                "ComplexDouble",
                "Untyped",
            )
        ),
        *(f"torch.storage.{kind}Storage" for kind in ("Untyped", "Typed", "_Legacy")),
        *(
            f"torch.{kind}"
            for kind in (
                "float32",
                "float64",
                "float16",
                "bfloat16",
                "uint8",
                "int8",
                "int16",
                "int32",
                "int64",
                "bool",
                "float8_e4m3fn",
                "float8_e5m2",
            )
        ),
    }
)
"""What PyTorch itself lets tensors alone name: part of what torch.load(weights_only=True) allows."""


@dataclass(frozen=True)
class Content:
    """What a file would do when it is loaded. kind: pickle, torch, torchscript; "" for one not there to be seen."""

    kind: str
    imports: tuple[str, ...] = ()
    whole: bool = True
    libraries: tuple[str, ...] = ()
    """Compiled code inside of a zip."""

    @property
    def only_tensors(self) -> bool:
        """Whether nothing but tensors can come out of it."""
        return self.kind == "torch" and self.whole and not self.libraries and HARMLESS.issuperset(self.imports)


def inspect(path: Path, budget: Budget) -> Content:
    """Raises OSError, and Unreadable for what is no pickle in any of these wrappings."""
    with path.open("rb") as file:
        first = file.read(16)
        file.seek(0)
        if not first.strip(b"\0"):
            if path.stat().st_size == 0:
                raise Unreadable("the file is empty")
            return Content("", whole=False)  # a hole: see datasets/queries/peek.py
        if first.startswith(ZIP):
            return _zipped(file, budget)
        stream = _unpacked(file, first)
        return _plain(stream, budget, surely=stream is not file or first.startswith(b"\x80"))


def _plain(stream: Any, budget: Budget, *, surely: bool) -> Content:
    """`surely`: it cannot be anything else, as its first byte is that of a pickle or it is packed as joblib does."""
    try:
        scan = follow(stream, budget)
        imports = list(scan.imports)
        if scan.first_number == TORCH_MAGIC:
            whole = scan.whole
            for _ in range(TORCH_PICKLES - 1):
                scan = follow(stream, budget)
                imports += scan.imports
                whole = whole and scan.whole
            return Content("torch", _once(imports), whole)
        if not scan.whole and not surely and not any(map(IMPORTABLE.fullmatch, imports)):
            raise Unreadable("it is no pickle")  # bytes of something else that look like one for a while
        return Content("pickle", _once(imports), scan.whole)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise Unreadable("it is damaged or cut short") from error


def _once(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _unpacked(file: IO[bytes], first: bytes) -> Any:
    """The stream that joblib reads: https://joblib.readthedocs.io/en/stable/persistence.html."""
    if first.startswith(b"\x1f\x8b"):
        return _Limited(gzip.GzipFile(fileobj=file))
    if first.startswith(b"BZh"):
        return _Limited(bz2.BZ2File(file))
    if first.startswith((b"\xfd7zXZ\x00", b"]\x00")):
        return _Limited(lzma.LZMAFile(file))
    if first[:1] == b"\x78" and int.from_bytes(first[:2], "big") % 31 == 0:
        return _Limited(io.BufferedReader(_Inflating(file), PIECE))
    return file


class _Inflating(io.RawIOBase):
    """A zlib stream, unpacked a piece at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.unpack = file, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.unpack.eof:
            taken = self.unpack.unconsumed_tail or self.file.read(PIECE)
            if not taken:
                raise EOFError("cut short")
            if piece := self.unpack.decompress(taken, len(buffer)):
                buffer[: len(piece)] = piece
                return len(piece)
        return 0


class _Limited:
    """What is unpacked is bounded: a few bytes can become terabytes."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.left = stream, MOST_UNPACKED

    def read(self, size: int, /) -> bytes:
        return self._counted(self.stream.read(size))

    def readline(self, size: int, /) -> bytes:
        return self._counted(self.stream.readline(size))

    def _counted(self, piece: bytes) -> bytes:
        self.left -= len(piece)
        if self.left < 0:
            raise TooMuch("unpacked it is too large to be looked at")
        return piece


class Careful(io.BufferedIOBase):
    """The file for zipfile, which would read a directory of any size at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size > MOST_DIRECTORY:
            raise Unreadable("its directory is too large")
        # Without a size zipfile asks for the end of the file, which is short unless the file was made to deceive.
        content = self.file.read(size if size >= 0 else MOST_DIRECTORY + 1)
        if len(content) > MOST_DIRECTORY:
            raise Unreadable("its directory is too large")
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True


def _zipped(file: IO[bytes], budget: Budget) -> Content:
    try:
        with zipfile.ZipFile(cast("IO[bytes]", Careful(file))) as archive:
            return _entries(archive, budget)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        ValueError,
        LookupError,
    ) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("it is a damaged zip") from error
    except OSError as error:
        if error.errno and error.errno != 22:  # EINVAL: the directory points before the file
            raise
        raise Unreadable("it is a damaged zip") from error


def _entries(archive: zipfile.ZipFile, budget: Budget) -> Content:
    names = archive.namelist()
    budget.step(len(names))
    libraries = tuple(name for name in names if name.endswith((".so", ".dylib", ".dll")))[:20]
    if any("/code/" in name and name.endswith(".py") for name in names):
        return Content("torchscript", libraries=libraries)
    pickled = [name for name in names if name.endswith(".pkl")]
    if not pickled:
        raise Unreadable("it is a zip without a pickle in it")
    # PyTorch may take the other of two entries with one name, and counts offsets from the file's first byte.
    whole = len(set(names)) == len(names) and min(entry.header_offset for entry in archive.infolist()) == 0
    imports: list[str] = []
    for name in pickled[:20]:
        with archive.open(name) as stream:
            scan: Findings = follow(_Limited(stream), budget)
        imports += scan.imports
        whole = whole and scan.whole
    if len(pickled) > 20:
        imports.append(UNKNOWN)
    return Content("torch", _once(imports), whole, libraries)
