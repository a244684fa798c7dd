"""What people may say of an NFS export: its server, its path, and how it is mounted. Pure: nothing is looked up."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from datasets.errors import SourceError

PORT: Final = 2049
ALWAYS: Final = ("ro", "nosuid", "nodev", "noexec")
"""Whatever else is asked for: model files are read, and nothing of the server gets a right on this machine."""
_FLAGS: Final = {
    *ALWAYS,
    "hard",
    "soft",
    "softerr",
    "noatime",
    "nodiratime",
    "nolock",
    "nordirplus",
    "rdirplus",
    "tcp",
}
_VERSIONS: Final = {"3", "4", "4.0", "4.1", "4.2"}
_NUMBERS: Final = {
    "nconnect": (1, 16),
    "timeo": (1, 6000),
    "retrans": (0, 100),
    "rsize": (4096, 1 << 20),
    "actimeo": (0, 3600),
}
_WORDS: Final = {"vers": _VERSIONS, "nfsvers": _VERSIONS, "proto": {"tcp", "tcp6"}, "sec": {"sys"}}
_NAME: Final = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,253}[a-zA-Z0-9_.])?")
_ENDINGS: Final = {"hard", "soft", "softerr"}


@dataclass(frozen=True)
class Export:
    server: str
    path: str

    def __str__(self) -> str:
        return f"[{self.server}]:{self.path}" if ":" in self.server else f"{self.server}:{self.path}"

    def beneath(self, other: Export) -> str | None:
        """The rest of the path when this lies in `other`, or is it; None when it does not."""
        if self.server.lower() != other.server.lower():
            return None
        if other.path == "/" or self.path == other.path or self.path.startswith(f"{other.path}/"):
            return self.path[len(other.path.rstrip("/")) :].strip("/")
        return None


def parse_export(server: str, path: str) -> Export:
    """Raises SourceError naming the option that is wrong."""
    server = server.strip().removeprefix("[").removesuffix("]")
    if not _NAME.fullmatch(server):
        try:
            server = str(ipaddress.ip_address(server))
        except ValueError:
            raise SourceError(
                "The server must be a host name or an address.", hint="For example nas.example.org.", option="server"
            ) from None
    if not path.startswith("/"):
        raise SourceError("The export must begin with a slash.", hint="For example /srv/models.", option="export")
    parts = [part for part in path.split("/") if part]
    if {".", ".."} & set(parts) or any(ord(character) < 32 for character in path):
        raise SourceError("The export must be a plain path, without '..'.", option="export")
    return Export(server, "/" + "/".join(parts))


def parse_source(text: str) -> Export | None:
    """`server:/path` as the kernel shows it."""
    match = re.fullmatch(r"\[?(?P<server>[^]]+?)\]?:(?P<path>/.*)", text)
    return Export(match["server"], "/" + match["path"].strip("/")) if match else None


def mount_options(text: str) -> tuple[str, ...]:
    """What `mount -o` gets: those that are always set, and those of `text` that may be. Raises SourceError."""
    given = [part.strip() for part in text.split(",") if part.strip()]
    for option in given:
        _require_allowed(option)
    chosen = [option for option in given if option not in ALWAYS]
    if not _ENDINGS & set(chosen):
        chosen.append("soft")  # a server that is away gives an error then, rather than nothing for ever
    if {"vers=3", "nfsvers=3"} & set(chosen) and "nolock" not in chosen:
        chosen.append("nolock")  # locks would need daemons, and nothing is locked
    return (*ALWAYS, *dict.fromkeys(chosen))


def _require_allowed(option: str) -> None:
    name, equals, value = option.partition("=")
    if not equals and name in _FLAGS:
        return
    if equals and value in _WORDS.get(name, ()):
        return
    if name in _NUMBERS and value.isascii() and value.isdigit() and len(value) < 9:
        least, most = _NUMBERS[name]
        if least <= int(value) <= most:
            return
        raise SourceError(f"{name} must be between {least} and {most}.", option="options")
    if name == "rw":
        raise SourceError("Exports are read only: leave out rw.", option="options")
    names = ", ".join([*sorted(_FLAGS - set(ALWAYS)), *(f"{name}=" for name in (*_WORDS, *_NUMBERS))])
    raise SourceError(f"The mount option {option[:60]!r} cannot be used.", hint=f"Known: {names}.", option="options")
