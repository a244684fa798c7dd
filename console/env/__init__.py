"""Typed readers for environment variables. Every value may also come from a file named by NAME_FILE.

Blanks at the ends of a value do not count: files end with a line break, and those of Windows with two characters. An
empty value is the default, except for a list, where it means an empty one. Readers of addresses: addresses.py.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
import re
import zoneinfo
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from console.errors import ConsoleError
from console.formats.text import decode

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_OURS: Final = ("CONSOLE_", "DATASET_", "GATEWAY_", "METERING_", "PREHEAT_", "REPLICA_")
# What Kubernetes tells containers of its Services: GATEWAY_SERVICE_HOST, GATEWAY_PORT_8080_TCP_ADDR and so on.
_KUBERNETES: Final = re.compile(r".*_SERVICE_(HOST|PORT.*)|.*_PORT_[0-9]+_(TCP|UDP).*")
_CLOSE: Final = 0.87
names_read: Final[set[str]] = set()
"""Variables that were asked for so far."""


class BadSetting(ConsoleError):
    code = "bad_setting"
    status = 500


def refused(name: str, wrong: str, example: str) -> BadSetting:
    """`wrong` is a predicate: "must be true or false, not 'x'"."""
    return BadSetting(f"{name} {wrong}.", hint=f"For example {name}={example}.")


def text(name: str, default: str = "") -> str:
    names_read.add(name)
    if path := os.environ.get(f"{name}_FILE", "").strip():
        return _content(name, path)
    value = os.environ.get(name, default)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadSetting(f"{name} is not text in UTF-8.", hint="Set it again, in a UTF-8 locale.") from None
    return value.strip()


def _content(name: str, path: str) -> str:
    try:
        return decode(Path(path).read_bytes()).strip()
    except OSError as error:
        raise BadSetting(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise BadSetting(f"{name}_FILE names {path}, which is not text.", hint="Save it as UTF-8.") from None


def bounded(name: str, default: int, least: int, most: int) -> int:
    raw = text(name) or str(default)
    if not _NUMBER.fullmatch(raw) or not least <= int(raw) <= most:
        raise refused(name, f"must be a whole number from {least} to {most}, not {raw!r}", str(default))
    return int(raw)


def port(name: str, default: int) -> int:
    raw = text(name)
    if raw.startswith(("tcp://", "udp://")):
        raise BadSetting(
            f"{name} is {raw!r}, as Kubernetes sets it for a Service of that name.",
            hint="Give the Service another name, or the pod enableServiceLinks: false.",
        )
    return bounded(name, default, 1, 65535)


def boolean(name: str, default: bool = False) -> bool:
    raw = (text(name) or str(default)).lower()
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise refused(name, f"must be true or false, not {raw!r}", "true")


def names(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def directories(name: str) -> list[Path]:
    """Absolute paths. They need not exist: a disk may be mounted later."""
    paths = names(name)
    for path in paths:
        if not path.startswith("/"):
            raise refused(name, f"must hold absolute paths, separated by commas, not {path!r}", "/srv/models,/mnt/nas")
        if ":/" in path and not Path(path).exists():
            raise refused(name, f"has paths separated by a colon in {path!r}: use commas", path.replace(":/", ",/"))
    return [Path(path) for path in paths]


def level(name: str, default: str) -> str:
    raw = (text(name) or default).upper()
    if raw not in _LEVELS:
        raise refused(name, f"must be one of {', '.join(_LEVELS)}, not {raw!r}", default)
    return raw


def choice(name: str, default: str, *others: str) -> str:
    value = text(name, default).lower()
    if value not in (default, *others):
        raise refused(name, f"must be one of {', '.join((default, *others))}, not {value!r}", default)
    return value


def time_zone(name: str, default: str) -> str:
    raw = text(name) or default
    try:
        zoneinfo.ZoneInfo(raw)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise refused(name, f"must be a time zone of the IANA database, not {raw!r}", "Europe/Berlin") from None
    return raw


def label(name: str, default: str) -> str:
    """A name that is part of an address: letters, digits, dashes, dots and underscores."""
    raw = text(name) or default
    if not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,62}", raw):
        rule = "must have 1 to 63 letters, digits, dashes, dots or underscores, the first one a letter or digit"
        raise refused(name, f"{rule}, not {raw!r}", default)
    return raw


def fernet_keys(name: str) -> list[str]:
    """Keys for `cryptography.fernet`, separated by commas. What is wrong with one is said without showing it."""
    keys = names(name)
    for number, key in enumerate(keys, start=1):
        try:
            good = len(base64.b64decode(key, altchars=b"-_", validate=True)) == 32
        except (binascii.Error, ValueError):
            good = False
        if not good:
            raise BadSetting(
                f"Key {number} of {name} is not 32 bytes in URL-safe base64.",
                hint="Make one with: openssl rand -base64 32 | tr '+/' '-_'",
            )
    return keys


def unknown(environment: Iterable[str], setting_names: Collection[str]) -> list[str]:
    """A sentence for each variable that looks like one of `setting_names` and is not: nothing reads it."""
    sentences = []
    for variable in sorted(environment):
        name = variable.removesuffix("_FILE")
        if name in setting_names or _KUBERNETES.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, setting_names, 1, _CLOSE)
        if close or name.startswith(_OURS):
            meant = f" Did you mean {close[0]}?" if close else ""
            sentences.append(f"The environment variable {variable} is not a setting of the console.{meant}")
    return sentences
