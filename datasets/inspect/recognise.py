"""Says what a folder of model files is, from its listing and a few small files. Reads a bounded amount; no Django.

Only what can be told cheaply: whether Triton accepts the model is said by Triton.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from console.formats.units import size_text
from datasets.errors import SourceError
from datasets.inspect import not_models
from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.errors import Unreadable
from datasets.inspect.triton import ensembles, names, versions
from datasets.inspect.triton.names import Names
from datasets.sources.archives import kinds
from datasets.sources.base import Page
from datasets.specs import Entry, Recognised

MAX_ENTRIES = 500
MAX_MODELS = 50
MAX_VERSIONS = 3
MAX_TEXT = 256 * 1024
UNPACK = "unpack it in place, or give its address to a dataset of the kind HTTP server, which looks into it."
WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")


class Files(Protocol):
    """What is needed of a source."""

    def entry(self, path: str) -> Entry: ...
    def list(self, path: str, after: str = "", limit: int = 200) -> Page: ...
    def read(self, path: str, limit: int) -> bytes: ...


def recognise(files: Files, path: str = "", here: Entry | None = None, page: Page | None = None) -> Recognised:
    """What lies at `path`. Raises SourceError only when `path` itself cannot be listed.

    `here`, `page`: the entry and its whole listing, where the caller has them.
    """
    here = here or files.entry(path)
    if not here.is_dir:
        return _single_file(here)
    entries = _copied(page or files.list(path, limit=MAX_ENTRIES))
    if not entries:
        return Recognised("empty", "An empty folder.")
    if _names(entries).is_model:
        return _triton_model(files, path, entries)
    if (model := _huggingface(files, entries)) is not None:
        return model
    if onnx := [entry for entry in entries if not entry.is_dir and entry.name.endswith(".onnx")]:
        return _onnx([entry for entry in onnx if entry.name == _names(entries).bare] or onnx)
    return _repository(files, entries) or Recognised(
        "unknown", "Not a model that the console knows.", problems=(what_to_choose(entries),)
    )


def what_to_choose(entries: Sequence[Entry]) -> str:
    """What to do with a folder that is no model, in a sentence."""
    if other := not_models.what_to_choose({entry.name for entry in entries}):
        return other
    if len(entries) == 1 and entries[0].is_dir:
        return f"There is only the folder {entries[0].name} here: choose it."
    if packed := next((entry for entry in entries if not entry.is_dir and kinds.is_archive(entry.name)), None):
        return f"{packed.name} is an archive: {UNPACK}"
    return "A Triton model has a config.pbtxt and a folder named 1 with the model file in it."


def _copied(page: Page) -> tuple[Entry, ...]:
    """Without what a copy leaves out, or could not read."""
    return tuple(entry for entry in page.entries if not entry.left_out)


def _names(entries: Iterable[Entry]) -> Names:
    return Names({entry.name: entry.is_dir for entry in entries})


def _triton_model(files: Files, path: str, entries: tuple[Entry, ...]) -> Recognised:
    name = path.rsplit("/", 1)[-1] or "this folder"
    present, paths = _names(entries), {entry.name: entry.path for entry in entries}
    config, problems = _config(files, paths[pbtxt.NAME]) if present.has_config else (None, [])
    backend = pbtxt.backend(config) if config is not None else ""
    if not ensembles.is_ensemble(config):
        problems += [] if present.versions else [names.without_version(present)]
        folders = {
            version: _names(_entries(files, paths[str(version)]))
            for version in versions.loaded(config, present.versions)[:MAX_VERSIONS]
        }
        backend = backend or next(filter(None, (inside.backend for inside in folders.values())), "")
        for version, inside in folders.items() if backend or config is not None or not present.has_config else ():
            problem = names.problem_of_version(version, inside, backend, "", has_config=present.has_config)
            problems += [problem] if problem else []
    numbers = list(present.versions)
    summary = f"A Triton model ({backend})" if backend else "A Triton model"
    version_text = f" with version{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}" if numbers else ""
    return Recognised(
        "triton_model",
        f"{summary}{version_text}.",
        models=(name,) if path else (),
        problems=tuple(problems),
        details={"backend": backend, "versions": numbers, "has_config": present.has_config},
    )


def _config(files: Files, path: str) -> tuple[Any, list[str]]:
    """What config.pbtxt says, None when it cannot be read, and why; None too when that takes seconds."""
    try:
        content = files.read(path, MAX_TEXT + 1)
        return (pbtxt.parse(pbtxt.text_of(content)) if len(content) <= MAX_TEXT else None), []
    except Unreadable as error:
        return None, [f"{error}."]
    except SourceError as error:
        return None, [f"config.pbtxt cannot be read: {error.message}"]


def _huggingface(files: Files, entries: tuple[Entry, ...]) -> Recognised | None:
    config = next((entry for entry in entries if entry.name == "config.json" and not entry.is_dir), None)
    if config is None:
        return None
    try:
        parsed: Any = json.loads(files.read(config.path, MAX_TEXT))
    except (ValueError, RecursionError, SourceError):
        return None
    if not isinstance(parsed, dict) or not ("architectures" in parsed or "model_type" in parsed):
        return None
    weights = [entry for entry in entries if not entry.is_dir and entry.name.endswith(WEIGHTS)]
    problems = [] if weights else ["There are no weights (as model.safetensors) beside config.json."]
    if not any(entry.name.startswith(("tokenizer", "vocab", "spiece")) for entry in entries):
        problems.append("There is no tokenizer beside config.json.")
    architectures = parsed.get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    called = ", ".join(names) or str(parsed.get("model_type"))
    size = size_text(sum(entry.size for entry in weights))
    return Recognised(
        "huggingface",
        f"A Hugging Face model: {called}, {size} of weights.",
        problems=tuple(problems),
        details={
            "architectures": names,
            "model_type": str(parsed.get("model_type", "")),
            "custom_code": "auto_map" in parsed,
        },
    )


def _onnx(entries: list[Entry]) -> Recognised:
    if len(entries) == 1:
        only = entries[0]
        return Recognised("onnx", f"An ONNX model: {only.name}, {size_text(only.size)}.", details={"file": only.name})
    return Recognised(
        "onnx",
        f"{len(entries)} ONNX models.",
        problems=("There are several .onnx files here: choose one of them.",),
        details={"files": [entry.name for entry in entries]},
    )


def _single_file(entry: Entry) -> Recognised:
    if entry.name.endswith(".onnx"):
        return _onnx([entry])
    advice = "Choose the folder that holds the model."
    if kinds.is_archive(entry.name):
        advice = f"It is an archive: {UNPACK}"
    return Recognised("unknown", f"A single file of {size_text(entry.size)}.", problems=(advice,))


def _repository(files: Files, entries: tuple[Entry, ...]) -> Recognised | None:
    folders = [entry for entry in entries if entry.is_dir]
    models = tuple(f.name for f in folders[:MAX_MODELS] if _names(_entries(files, f.path)).is_model)
    if not models:
        return None
    shown = ", ".join(models[:5]) + (", …" if len(models) > 5 else "")
    count = "1 model" if len(models) == 1 else f"{len(models)} models"
    return Recognised(
        "triton_repository",
        f"A Triton repository of {count}: {shown}.",
        models=models,
        details={"complete": len(folders) <= MAX_MODELS},
    )


def _entries(files: Files, path: str) -> tuple[Entry, ...]:
    try:
        return _copied(files.list(path, limit=MAX_ENTRIES))
    except SourceError:
        return ()
