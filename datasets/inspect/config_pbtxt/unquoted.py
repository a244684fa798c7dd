"""What of a config.pbtxt a shell reads when Triton starts a model.

The Python backend of this release runs `bash -c "exec <stub> <repository>/<name>/<version>/<default_model_filename> …
<instance>"` without quotes, for Python models and for backends written in Python. A file named "a & b.onnx" would run
the program b, without anybody's trust. Triton uses no shell there since 25.08.
"""

from __future__ import annotations

import re
from typing import Any, Final

PLAIN: Final = re.compile(r"[\w./+=@%,:-]+")
"""Means itself to a shell as a part of a word. Letters of every script do."""


def problem(config: Any, backend: str) -> str:
    """Why Triton cannot be told the name of the model's file, or ""."""
    file = str(config.default_model_filename)
    # Our ONNX backend gets the name in a parameter: see services/frameworks/triton/config.py. "": not decided yet.
    if not file or PLAIN.fullmatch(file) or backend in {"onnxruntime", ""}:
        return ""
    return (
        f"default_model_filename {file!r} has a blank in it, or a character that the shell reads when Triton "
        "starts a model: rename the file."
    )
