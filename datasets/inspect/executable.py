"""Which files of a folder run as code when they are loaded, and which of them the folder's server would load.

Said of Python models, pickles in all their wrappings, TorchScript, compiled libraries, Hugging Face's auto_map and the
Lambda layers of Keras. What looks harmless is said to be so only where it was followed to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from datasets.inspect import archives, keras
from datasets.inspect.budget import Budget
from datasets.inspect.errors import TooMuch, Unreadable
from datasets.inspect.report import Executable

ALWAYS_PICKLES: Final = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
MAYBE_PICKLES: Final = (".pt", ".pth", ".bin", ".ckpt", ".pt2")
KERAS: Final = (".h5", ".hdf5", ".keras")
LIBRARIES: Final = (".so", ".dll", ".dylib")
ENDINGS: Final = (*ALWAYS_PICKLES, *MAYBE_PICKLES, *KERAS, *LIBRARIES)
MOST_SAID: Final = 200
SHOWN: Final = 6
NOT_SEEN: Final = "It can hold code, and was not looked into yet."
TOO_LARGE: Final = "It can hold code, and is too large to be looked through."


def find(folder: Path, files: list[str], loads: frozenset[str], budget: Budget) -> Iterator[Executable]:
    """`files`: relative to `folder`; `loads`: endings and full names that the folder's server opens.

    Of each sort, what runs and what only lies there, at most MOST_SAID: the one must not crowd out the other.
    """
    said = {True: 0, False: 0}
    for name in files:
        if not name.lower().endswith(ENDINGS):
            continue
        runs = name in loads or Path(name).suffix.lower() in loads
        if said[runs] >= MOST_SAID:
            continue
        if (found := _look(folder / name, name, runs, budget)) is not None:
            yield found
            said[runs] += 1


def _look(path: Path, name: str, runs: bool, budget: Budget) -> Executable | None:
    ending = path.suffix.lower()
    if ending in LIBRARIES:
        return Executable(name, "library", "A compiled library: it runs as soon as a server loads it.", runs)
    if not path.is_file():  # a pipe would keep whoever opens it
        return Executable(name, "pickle", "It is named as a pickle, and is no file that can be read.", runs)
    try:
        if ending in KERAS:
            said = "A Keras model with a Lambda layer: loading it runs the Python bytecode inside."
            return Executable(name, "keras_lambda", said, runs) if keras.has_lambda(path, budget) else None
        return _pickle(archives.look(path, budget), name, runs)
    except TooMuch:
        return Executable(name, "keras_lambda" if ending in KERAS else "pickle", TOO_LARGE, runs)
    except Unreadable as error:
        if ending in ALWAYS_PICKLES:
            return Executable(name, "pickle", f"It is named as a pickle, and {error}.", runs)
        return None
    except OSError as error:
        return Executable(name, "pickle", f"It cannot be read: {error.strerror or error}.", runs)


def _pickle(content: archives.Content, name: str, runs: bool) -> Executable | None:
    if content.only_tensors:
        return None
    if content.kind == "torchscript":
        return Executable(name, "torchscript", "A TorchScript program: loading it may run what it says.", runs)
    if not content.kind:
        return Executable(name, "pickle", NOT_SEEN, runs, seen=False)
    foreign = [one for one in content.imports if one not in archives.HARMLESS]
    shown = ", ".join(foreign[:SHOWN]) + (", …" if len(foreign) > SHOWN else "")
    said = f"A Python pickle: loading it imports {shown}." if foreign else "A Python pickle."
    if not content.whole:
        said += " It could not be followed to its end, and may name more."
    if content.libraries:
        said += f" It holds compiled code: {content.libraries[0]}."
    return Executable(name, "pickle", said, runs, imports=content.imports)
