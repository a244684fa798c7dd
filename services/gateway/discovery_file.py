"""What is published now: the files in the gateway's folder, each read once. For use while the lock is held."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from services.gateway.envoy import encoding
from services.gateway.envoy.document import Document

Write = tuple[Path, bytes]


class DiscoveryFile:
    """A file that Envoy or the bridge reads, as it was when it was first asked for.

    Envoy reads a discovery response as protobuf (envoy/encoding.py), and its JSON beside is the record of what was
    published. The other files have one form, which is both.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_by_envoy = path.with_name(encoding.file_name(path.name))

    @cached_property
    def document(self) -> Document:
        """Empty when nothing is published."""
        return Document.read(self._record or b"")

    def is_like(self, document: Document) -> bool:
        """Whether the record says this. The other form may be older, if the publisher died between the two."""
        return self._record == document.content

    def holds(self, document: Document) -> bool:
        """Whether this is published, in both forms."""
        if not self.is_like(document):
            return False
        return self._read_by_envoy == self.path or encoding.version(self._encoded) == document.version

    def writes(self, document: Document) -> list[Write]:
        """What publishes the document: first what is read by Envoy or the bridge, then the record of it, if apart.

        Items that are in the file already are not encoded again. Raises GatewayRefused for what has no protobuf form.
        """
        record = (self.path, document.content)
        if self._read_by_envoy == self.path:
            return [record]
        encoded = encoding.encode(self.path.name, document, self.document, self._encoded)
        return [(self._read_by_envoy, encoded), record]

    @cached_property
    def _record(self) -> bytes | None:
        return _read(self.path)

    @cached_property
    def _encoded(self) -> bytes:
        return _read(self._read_by_envoy) or b""


class Published:
    """The gateway's folder by file name."""

    def __init__(self, gateway_dir: Path) -> None:
        self.gateway_dir = gateway_dir
        self._files: dict[str, DiscoveryFile] = {}

    def __getitem__(self, name: str) -> DiscoveryFile:
        return self._files.setdefault(name, DiscoveryFile(self.gateway_dir / name))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
