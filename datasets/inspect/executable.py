"""Which files of a folder run as code when they are loaded, and which of them the folder's server would load.

Finds Python models, pickles in all their wrappings, TorchScript, compiled libraries, bytecode, scripts, Hugging Face's
auto_map, the Lambda layers of Keras, and OpenSSL configuration, which names libraries. Names only hint at what a file
is: the first bytes decide, since a loader goes by them. What looks harmless counts as such only when it was followed
to its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from datasets.inspect.budget import Budget
from datasets.inspect.errors import TooMuch, Unreadable
from datasets.inspect.formats import keras, pickle_files
from datasets.inspect.report import Executable

ALWAYS_PICKLES: Final = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
MAYBE_PICKLES: Final = (".pt", ".pth", ".bin", ".ckpt", ".pt2")
KERAS: Final = (".h5", ".hdf5", ".keras")
LIBRARIES: Final = (".so", ".dll", ".dylib")
PLANS: Final = (".plan", ".engine", ".trt")
GRAPHS: Final = ("saved_model.pb", ".savedmodel", ".graphdef")
ENDINGS: Final = (*ALWAYS_PICKLES, *MAYBE_PICKLES, *KERAS, *LIBRARIES)
EVERYTHING: Final = frozenset(ENDINGS)
BYTECODE: Final = (".pyc", ".pyo")
ARCHIVES: Final = (".zip", ".whl", ".egg", ".pyz", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".conda")
INERT: Final = (".onnx", ".npz")
PROGRAMS: Final = (".py", ".pyw")
MOST_SHOWN: Final = 200
SHOWN: Final = 6
HEAD: Final = 4096
NOT_SEEN: Final = "It can hold code, and was not looked into yet."
TOO_LARGE: Final = "It can hold code, and is too large to be looked through."
LIBRARY: Final = "A compiled library: it runs as soon as a server loads it."
PLAN: Final = "A compiled plan or graph of TensorRT or TensorFlow, which can do what a program can."
STUB: Final = "triton_python_backend_stub"
"""Beside config.pbtxt: Triton makes it executable if need be. It serves the backends written in Python too."""
PROTOCOLS: Final = (b"\x02", b"\x03", b"\x04", b"\x05")
"""Second byte of a pickle."""
OPENSSL: Final = re.compile(rb"^[ \t]*openssl_conf[ \t]*=", re.M)


def find(folder: Path, files: list[str], loads: frozenset[str], budget: Budget) -> Iterator[Executable]:
    """`files`: relative to `folder`; `loads`: endings and full names that the folder's server opens.

    Compiled code and OpenSSL configuration always count as running: whatever they are called, nothing else is done
    with them.
    """
    for name in files:
        budget.step()
        if name.lower().endswith(PROGRAMS):  # one entry for all of them: see code_of in triton/summary.py
            continue
        path, runs = folder / name, name in loads or Path(name).suffix.lower() in loads
        head = _head(path)
        executable = _always(name, head)
        if executable is None and (name.lower().endswith(ENDINGS) or name in loads):
            executable = _inspect_file(path, name, runs, budget)
        elif executable is None:
            everything = loads >= EVERYTHING
            executable = _by_content(path, name, head, budget, loads_all=everything, runs=runs or everything)
        if executable is not None:
            yield executable


def shown(executables: Iterable[Executable]) -> tuple[Executable, ...]:
    """What a page and a report hold of it: of what runs, and of what only lies there, MOST_SHOWN each."""
    count = {True: 0, False: 0}
    kept = []
    for one in executables:
        count[one.runs] += 1
        if count[one.runs] <= MOST_SHOWN:
            kept.append(one)
    return tuple(kept)


def _inspect_file(path: Path, name: str, runs: bool, budget: Budget) -> Executable | None:
    ending = path.suffix.lower()
    if ending in LIBRARIES:
        return Executable(name, "library", LIBRARY, runs)
    if not path.is_file():  # a pipe would keep whoever opens it
        return Executable(name, "pickle", "It is named as a pickle, and is no file that can be read.", runs)
    try:
        if ending in KERAS:
            reason = "A Keras model with a Lambda layer: loading it runs the Python bytecode inside."
            return Executable(name, "keras_lambda", reason, runs) if keras.has_lambda(path, budget) else None
        return _pickle(pickle_files.inspect(path, budget), name, runs)
    except TooMuch:
        return Executable(name, "keras_lambda" if ending in KERAS else "pickle", TOO_LARGE, runs)
    except Unreadable as error:
        if ending in ALWAYS_PICKLES:
            return Executable(name, "pickle", f"It is named as a pickle, and {error}.", runs)
        return None
    except OSError as error:
        return Executable(name, "pickle", f"It cannot be read: {error.strerror or error}.", runs)


def _always(name: str, head: bytes) -> Executable | None:
    """What is only ever loaded as code, whatever the file is called."""
    if name.rpartition("/")[2] == STUB:
        return Executable(name, "script", "Triton starts it in place of its own program for Python models.")
    if head.startswith(b"\x7fELF") and not name.lower().endswith(LIBRARIES):
        return Executable(name, "library", LIBRARY)
    if OPENSSL.search(head):
        return Executable(name, "configuration", "OpenSSL configuration, which can name libraries to load.")
    return None


def _by_content(
    path: Path, name: str, head: bytes, budget: Budget, *, loads_all: bool, runs: bool
) -> Executable | None:
    """The code in a file whose name says nothing. `loads_all`: its server may open any file; `runs`: this one."""
    try:
        if name.lower().endswith(BYTECODE) or (head[2:4] == b"\r\n" and 0x0A <= head[1] <= 0x0F):
            return Executable(name, "bytecode", "Compiled Python code: it runs as soon as it is imported.", loads_all)
        if head.startswith(b"#!"):
            return Executable(name, "script", "A script: it runs when a program starts it.", loads_all)
        if name.lower().endswith((*PLANS, *GRAPHS)):
            return Executable(name, "plan", PLAN, runs)
        if name.lower().endswith(ARCHIVES):
            return Executable(name, "archive", "An archive that a program may import from or unpack.", loads_all)
        pickled = head[:1] == b"\x80" and head[1:2] in PROTOCOLS
        if (pickled or (loads_all and head.startswith(pickle_files.ZIP))) and not name.lower().endswith(INERT):
            return _pickle(pickle_files.inspect(path, budget), name, loads_all)
    except TooMuch:
        return Executable(name, "pickle", TOO_LARGE, loads_all)
    except (Unreadable, OSError):
        return None
    return None


def _head(path: Path) -> bytes:
    """The first bytes of a regular file; b"" for any other, since opening a pipe would block."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def _pickle(content: pickle_files.Content, name: str, runs: bool) -> Executable | None:
    if content.only_tensors:
        return None
    if content.kind == "torchscript":
        return Executable(name, "torchscript", "A TorchScript program: loading it may run what it says.", runs)
    if not content.kind:
        return Executable(name, "pickle", NOT_SEEN, runs, seen=False)
    foreign = [one for one in content.imports if one not in pickle_files.HARMLESS]
    listed = ", ".join(foreign[:SHOWN]) + (", …" if len(foreign) > SHOWN else "")
    reason = f"A Python pickle: loading it imports {listed}." if foreign else "A Python pickle."
    if not content.whole:
        reason += " It could not be followed to its end, and may name more."
    if content.libraries:
        reason += f" It holds compiled code: {content.libraries[0]}."
    return Executable(name, "pickle", reason, runs, imports=content.imports)
