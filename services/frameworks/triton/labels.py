"""Label files: Triton takes every byte between two line feeds for a label, also a mark or a carriage return."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from console.formats.text import decode

MOST_BYTES: Final = 4 << 20


def rewritten(config: Any, files: Mapping[str, Path]) -> dict[str, bytes]:
    """Contents for Triton of those of `files` (name in the model's folder -> file) that are labels from Windows.

    Raises OSError.
    """
    names = {str(output.label_filename) for output in config.output}
    contents = {}
    for name in names & files.keys():
        if files[name].stat().st_size > MOST_BYTES:
            continue
        raw = files[name].read_bytes()
        try:
            text = decode(raw).replace("\r\n", "\n").encode()
        except UnicodeDecodeError:  # Triton asks for no encoding
            continue
        if text != raw:
            contents[name] = text
    return contents
