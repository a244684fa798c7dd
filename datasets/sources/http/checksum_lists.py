r"""Lines of checksum lists, as the tools of Unix and Windows write them. No I/O.

<hex>  path            sha256sum, shasum, md5sum; ` *path` for binary
\<hex>  a\\b\nc        the same for a name with a backslash or a line break
SHA256 (path) = <hex>  sha256sum --tag, shasum --tag, BSD
SHA2-256(path)= <hex>  openssl dgst
SHA256  <HEX>  path    Get-FileHash of PowerShell, below two lines of headings
<hex>                  a digest alone, also of `-`: the file is the one that the list is named after
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from datasets.errors import SourceError

ALGORITHMS: Final = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
"""Digits of a digest -> what it is, where the line does not say."""
ENDINGS: Final = (
    ".sha256",
    ".sha512",
    ".sha384",
    ".sha224",
    ".sha1",
    ".md5",
    ".sha256sum",
    ".sha512sum",
    ".sha1sum",
    ".md5sum",
)
_HEX: Final = "|".join(f"[0-9a-fA-F]{{{digits}}}" for digits in ALGORITHMS)
_ALONE: Final = re.compile(rf"\s*({_HEX})(?:\s+\*?-)?\s*")
_DIGEST_FIRST: Final = re.compile(rf"(?P<escaped>\\)?(?P<hex>{_HEX})(?: [ *]|[ \t])(?P<path>.+)", re.S)
_TAGGED: Final = re.compile(
    r"(?P<escaped>\\)?(?P<kind>[A-Za-z0-9-]+(?:/\d+)?) ?\((?P<path>.+)\) ?= ?(?P<digest>[^\s)]++)\s*",
    re.S,
)
_POWERSHELL: Final = re.compile(r"(?P<kind>[A-Z0-9]++)\s++(?P<digest>[0-9A-F]{32,}+)\s++(?P<path>.*\S)\s*")
_HEADINGS: Final = re.compile(r"\s*(Algorithm\s+Hash\s+Path|-+\s+-+\s+-+)\s*")
_OTHER_FORMS: Final = (
    (re.compile(r'"Algorithm","Hash","Path".*'), "Get-FileHash of PowerShell through Export-Csv"),
    (re.compile(r"(Algorithm|Hash|Path)\s+: .*"), "Get-FileHash of PowerShell through Format-List"),
    (re.compile(r"\w+ hash of (file )?.+:"), "certutil of Windows"),
)
_KINDS: Final = re.compile(r"(md|sha|shake|keccak|rmd|ripemd|blake|sm3|crc|whirlpool|mactriple)", re.I)
_ESCAPES: Final = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_RELATIVE: Final = (
    "In PowerShell: Get-ChildItem -Recurse -File | % { (Get-FileHash $_.FullName).Hash + '  ' + "
    "(Resolve-Path -Relative $_.FullName) }"
)


@dataclass(frozen=True)
class Line:
    """`name` is "" for a digest alone."""

    name: str
    check: str
    """`algorithm:hex`."""


def parse(line: str, where: str) -> Line | None:
    """None for a line without a digest in front. Raises SourceError for a form or an algorithm that is not read."""
    for form, tool in _OTHER_FORMS:
        if form.fullmatch(line.strip()):
            raise SourceError(f"{where} is a line by {tool}, which is not supported.", hint=f"{_RELATIVE}.")
    if alone := _ALONE.fullmatch(line):
        return Line("", f"{ALGORITHMS[len(alone[1])]}:{alone[1].lower()}")
    if first := _DIGEST_FIRST.fullmatch(line):
        name = _unescaped(first["path"]) if first["escaped"] else _relative(first["path"], where)
        return Line(name, f"{ALGORITHMS[len(first['hex'])]}:{first['hex'].lower()}")
    if (tagged := _TAGGED.fullmatch(line)) and _KINDS.match(tagged["kind"]):
        name = _unescaped(tagged["path"]) if tagged["escaped"] else tagged["path"]
        return Line("" if name in {"-", "stdin"} else name, _check(tagged["kind"], tagged["digest"], where))
    if (row := _POWERSHELL.fullmatch(line)) and _KINDS.match(row["kind"]):
        return Line(_relative(row["path"], where), _check(row["kind"], row["digest"], where))
    return None


def is_digest(text: str) -> bool:
    return _ALONE.fullmatch(text) is not None


def is_heading(line: str) -> bool:
    """Whether the line is a heading of the table that PowerShell writes."""
    return _HEADINGS.fullmatch(line) is not None


def beside(name: str) -> str:
    """The file that a list of this name is about: `m/model.onnx.sha256` -> `m/model.onnx`; "" for any other name."""
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    return name[: -len(ending)] if ending else ""


def _check(kind: str, digest: str, where: str) -> str:
    algorithm = kind.lower().replace("sha2-", "sha").replace("-", "")
    digits = {name: count for count, name in ALGORITHMS.items()}.get(algorithm)
    if digits is None:
        raise SourceError(
            f"{where} has a digest by {kind}, which is not supported.", hint="SHA-256 is, as sha256sum makes."
        )
    if not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", digest):
        raise SourceError(
            f"{where} has a digest by {kind} that is not {digits} hexadecimal digits.", hint="Make the list anew."
        )
    return f"{algorithm}:{digest.lower()}"


def _unescaped(path: str) -> str:
    return re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], path)


def _relative(path: str, where: str) -> str:
    """Tools of Windows write `\\` between folders; those of Unix mark a name that has one in it, or write a `/` too."""
    if _DRIVE.match(path):
        raise SourceError(
            f"{where} names {path.strip()} by its place on a disk of Windows: a path here is relative to the address.",
            hint=f"{_RELATIVE}.",
        )
    return path if "/" in path else path.replace("\\", "/")
