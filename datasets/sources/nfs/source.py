"""The kind `nfs`: an export of a file server, read where this machine has it mounted, or mounted where that may be.

Reading is `local.py`'s business. Every call that touches the directory is made with patience (patience.py): a server
that is away may hang whoever asks.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, TypeVar

from datasets.errors import SourceError
from datasets.sources.base import Body, Option, Page, Site, Source, clean_path, make_plan
from datasets.sources.local.source import LocalSource
from datasets.sources.net.allowlist import Endpoints
from datasets.sources.net.sockets import Network
from datasets.sources.nfs import mounts as nfs_mounts
from datasets.sources.nfs.body import content, whole
from datasets.sources.nfs.mountinfo import Mount, holding, mounts
from datasets.sources.nfs.options import PORT, Export, mount_options, parse_export, parse_source
from datasets.sources.nfs.timeouts import Patience
from datasets.specs import Entry, Plan, SourceFile

T = TypeVar("T")
SMALL = 1 << 20
"""Bytes of a file that is read in one go with opening it."""
_EXACT = {"export", "path", "subpath"}
LOOK_SECONDS = 30.0
"""How long it is taken for granted that an export is mounted where it was."""


@dataclass(frozen=True)
class _Location:
    """A directory that the export, or what stands for it, can be read in."""

    local: LocalSource
    sentence: str
    origin: str
    at: float


class NfsSource(Source):
    kind: ClassVar[str] = "nfs"
    label: ClassVar[str] = "NFS export"
    directories: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option("server", "Server", help="Name or address of the file server, for example nas.example.org."),
        Option("export", "Export", exact=True, help="The path that the server exports, for example /srv/models."),
        Option(
            "path",
            "Mounted at",
            required=False,
            exact=True,
            help="Where this machine has it mounted, inside an allowed directory. Leave it empty to have it found.",
        ),
        Option("subpath", "Folder", required=False, exact=True, help="A folder of the export. Empty is all of it."),
        Option(
            "options",
            "Mount options",
            required=False,
            help="For when the console mounts it, for example vers=4.1,nconnect=8. It is always mounted read only.",
        ),
    )
    patience: ClassVar[float] = 15.0
    """Seconds without a word after which the server counts as away."""

    def __init__(self, options: Mapping[str, Any], site: Site) -> None:
        self._options, self._site = options, site
        self._location: _Location | None = None
        text = self._text("path") or f"{self._text('server')}:{self._text('export')}"
        self._patience = Patience(text, self.patience)
        # A mount may take as long as its command.
        self._first = Patience(text, self.patience + nfs_mounts.CONNECT_SECONDS + nfs_mounts.COMMAND_SECONDS)

    def check(self) -> str:
        location = self._locate()
        return f"{location.sentence} {self._patience.call(location.local.check)}"

    def entry(self, path: str) -> Entry:
        return self._call(lambda local: local.entry(path))

    def list(self, path: str, after: str = "", limit: int = 200) -> Page:
        return self._call(lambda local: local.list(path, after, limit))

    def plan(self, path: str, *, beat: Callable[[], None] = lambda: None) -> Plan:
        location = self._locate()
        plan = self._patience.follow(lambda tick: location.local.plan(path, beat=tick), beat)
        files = [
            SourceFile(file.path, file.size, file.version, executable=file.executable, ranged=True)
            for file in plan.files
        ]
        return make_plan(self.kind, files, [*plan.empty_dirs], origin=location.origin, left_out=plan.left_out)

    def open(self, file: SourceFile, path: str, offset: int = 0, length: int | None = None) -> Body:
        local = self._locate().local
        if file.size <= SMALL and length is None and not offset:
            return whole(self._patience.call(lambda: _read(local, file, path)))
        opened = self._patience.call(
            lambda: local.open(file, path, offset, length), lambda late: late.close() if late else None
        )
        return content(opened, file.path, self._patience)

    def confirm(self, file: SourceFile, path: str) -> None:
        self._call(lambda local: local.still(file, path))

    def read(self, path: str, limit: int) -> bytes:
        return self._call(lambda local: local.read(path, limit))

    def _call(self, work: Callable[[LocalSource], T]) -> T:
        local = self._locate().local
        return self._patience.call(lambda: work(local))

    def _locate(self) -> _Location:
        location = self._location
        if location is None or time.monotonic() - location.at > LOOK_SECONDS:
            location = self._location = (self._first if location is None else self._patience).call(self._find)
        return location

    def _find(self) -> _Location:
        export = parse_export(self._text("server"), self._text("export"))
        options = mount_options(self._text("options"))
        try:
            folder = clean_path(self._text("subpath"))
        except SourceError as error:
            raise SourceError(str(error), option="subpath") from error
        origin = f"{export}/{folder}"
        if given := self._text("path"):
            return self._given(given, export, folder, origin)
        all_mounts = mounts()
        for mount in reversed(all_mounts):
            if not mount.is_nfs or mount.root != "/" or self._is_ours(mount):
                continue
            if holding(mount.point, all_mounts) is not mount:  # something else is mounted over it
                continue
            if (source := parse_source(mount.source)) and (rest := export.beneath(source)) is not None:
                return self._mounted_by_others(mount, export, PurePosixPath(rest, folder), origin)
        return self._mounted_by_us(export, options, folder, origin)

    def _given(self, given: str, export: Export, folder: str, origin: str) -> _Location:
        if not given.startswith("/") or "\0" in given:
            raise SourceError("Where it is mounted must be an absolute path.", option="path")
        try:
            local = _local(PurePosixPath(given, folder), self._site.roots)
            local.entry("")
        except SourceError as error:
            raise SourceError(f"{error} {self._allowed_roots()}", permanent=error.permanent, option="path") from error
        mount = holding(PurePosixPath(Path(given).resolve()), mounts())
        if mount is None or not mount.is_nfs:
            message = f"{given} is not an NFS mount here; it is read as a plain directory."
            return _Location(local, message, f"{given}/{folder}", time.monotonic())
        mounted_export = parse_source(mount.source)
        if mounted_export is None or (
            export.beneath(mounted_export) is None and mounted_export.server != mount.address != export.server
        ):
            raise SourceError(
                f"{given} is a mount of {mount.source}, not of {export}.",
                hint="Correct the server, the export or it.",
                option="path",
            )
        return _Location(local, f"{export} is mounted at {mount.point}.", origin, time.monotonic())

    def _mounted_by_others(self, mount: Mount, export: Export, rest: PurePosixPath, origin: str) -> _Location:
        """An administrator mounted it. That server, or that directory, must be allowed."""
        roots = self._site.roots
        if not any(Path(mount.point).is_relative_to(root) for root in roots):
            if not self._is_allowed(export, mount):
                raise SourceError(
                    f"{export} is mounted at {mount.point}, which datasets may not use. {self._allowed_roots()}",
                    option="export",
                )
            roots = (Path(mount.point),)
        local = _local(PurePosixPath(mount.point, rest), roots)
        return _Location(local, f"{export} is mounted at {mount.point}.", origin, time.monotonic())

    def _mounted_by_us(self, export: Export, options: tuple[str, ...], folder: str, origin: str) -> _Location:
        reason = nfs_mounts.hindrance()
        network = Network(self._site.endpoints)
        try:
            network.require_host(export.server, PORT)
        except SourceError as error:
            reason = reason or str(error)
        if reason or self._site.mounts is None:
            raise SourceError(f"{export} is not mounted on this machine. {self._advice(export, options, reason)}")
        target = nfs_mounts.mounted(export, options, self._site.mounts, network)
        local = _local(PurePosixPath(target, folder), (target,))
        return _Location(local, f"{export} was mounted by the console, read only.", origin, time.monotonic())

    def _advice(self, export: Export, options: tuple[str, ...], reason: str) -> str:
        target = PurePosixPath("/mnt") / (PurePosixPath(export.path).name or "models")
        typed = shlex.join(nfs_mounts.command(export, options, target))
        return (
            f"The console does not mount it: {reason.rstrip('.')}. An administrator mounts it with "
            f"`mkdir -p {shlex.quote(str(target))} && {typed}`, and starts the console with "
            f"DATASET_ROOTS={shlex.quote(str(target))}."
        )

    def _allowed_roots(self) -> str:
        roots = ", ".join(str(root) for root in self._site.roots) or "none"
        return f"Allowed directories: {roots}. An administrator can add one to DATASET_ROOTS."

    def _is_allowed(self, export: Export, mount: Mount) -> bool:
        """By its name as it is listed, or by the address that the mount really talks to."""
        if Endpoints(self._site.endpoints).names(export.server.lower(), PORT):
            return True
        try:
            Network(self._site.endpoints).require_host(mount.address, PORT)
        except SourceError:
            return False
        return bool(mount.address)

    def _is_ours(self, mount: Mount) -> bool:
        return self._site.mounts is not None and mount.point.is_relative_to(self._site.mounts)

    def _text(self, name: str) -> str:
        value = str(self._options.get(name, ""))
        return value if name in _EXACT and value.strip() else value.strip()


def _local(directory: PurePosixPath, roots: tuple[Path, ...]) -> LocalSource:
    return LocalSource({"path": str(directory)}, Site(roots=roots))


def _read(local: LocalSource, file: SourceFile, path: str) -> bytes:
    data = bytearray()
    with local.open(file, path) as opened:
        while len(data) < file.size and (more := opened.read(file.size - len(data))):
            data += more
    return bytes(data)
