"""A small authority of the tests' own: certificates and keys as PEM files, made with the openssl that is there."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    certificate: Path
    key: Path


def authority(folder: Path, name: str = "authority") -> Pair:
    """Self-signed, and good for signing."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-keyout", str(pair.key), "-out", str(pair.certificate)),
    )
    return pair


def issue(signer: Pair, folder: Path, name: str) -> Pair:
    """For localhost and 127.0.0.1, signed by `signer`."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-keyout", str(pair.key), "-out", str(pair.certificate)),
        *("-CA", str(signer.certificate), "-CAkey", str(signer.key)),
        *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
    )
    return pair


def _openssl(*arguments: str) -> None:
    subprocess.run(("openssl", *arguments), check=True, capture_output=True, timeout=30)


def lock(key: Path, locked: Path) -> None:
    """The same key, with a password."""
    _openssl("pkey", "-in", str(key), "-out", str(locked), "-aes256", "-passout", "pass:secret")
