"""Whether a Keras file has a Lambda layer, which is Python bytecode that runs when the model is loaded.

Both formats hold the model's configuration as JSON text: a `.keras` file is a zip with config.json, an `.h5` file has
it in an attribute. So the text is searched for, in pieces; neither file is loaded.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, Final, cast

from datasets.inspect.budget import Budget
from datasets.inspect.errors import TooMuch, Unreadable
from datasets.inspect.formats.pickle_files import ZIP, Careful

LAMBDA: Final = re.compile(rb'"class_name"\s{0,8}:\s{0,8}"(?:[A-Za-z_.]{0,40}>)?Lambda"')
OVERLAP: Final = 128
PIECE: Final = 1 << 20
MOST: Final = 1 << 30
"""Bytes of a file that are searched."""
STEPS: Final = 1024
"""What one piece counts against the budget."""


def has_lambda(path: Path, budget: Budget) -> bool:
    """Raises OSError and Unreadable."""
    with path.open("rb") as file:
        if file.read(4) != ZIP:
            file.seek(0)
            return _searched(file, budget)
        try:
            with zipfile.ZipFile(cast("IO[bytes]", Careful(file))) as archive, archive.open("config.json") as config:
                return _searched(config, budget)
        except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
            raise Unreadable("it is a damaged zip, or no Keras model") from error
        except ValueError as error:
            raise error if isinstance(error, Unreadable) else Unreadable("it is a damaged zip") from error


def _searched(file: IO[bytes], budget: Budget) -> bool:
    before, seen = b"", 0
    while piece := file.read(PIECE):
        budget.step(STEPS)
        if LAMBDA.search(before + piece):
            return True
        before, seen = piece[-OVERLAP:], seen + len(piece)
        if seen > MOST:
            raise TooMuch("it is too large to be searched to its end")
    return False
