"""Says what a folder of model files is, from its listing and a few small files. Reads a bounded amount; no Django.

Only what can be told cheaply: whether Triton accepts the model is said by Triton.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

from console.text import decode
from console.units import size_text
from datasets.errors import SourceError
from datasets.inspect import not_models
from datasets.sources.archives import kinds
from datasets.sources.base import Page
from datasets.specs import Entry, Recognised

MAX_ENTRIES = 500
MAX_MODELS = 50
MAX_TEXT = 256 * 1024
UNPACK = "unpack it where it lies, or give its address to a dataset of the kind HTTP server, which looks into it."
WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")
_MODEL_FILES = re.compile(r"^(model\.(onnx|plan|pt|pt2|py|xml|graphdef|savedmodel|json|dali)|xgboost\.(json|model))$")
_VERSION = re.compile(r"^(0|[1-9][0-9]{0,17})$")
_TEXT_FIELD = r'^[^\S\n]*{}\s*:\s*"([^"]*)"'


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
    if _looks_like_model(entries):
        return _triton_model(files, path, entries)
    if (model := _huggingface(files, entries)) is not None:
        return model
    if onnx := [entry for entry in entries if not entry.is_dir and entry.name.endswith(".onnx")]:
        return _onnx(onnx)
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


def _looks_like_model(entries: tuple[Entry, ...]) -> bool:
    return any(not entry.is_dir and entry.name == "config.pbtxt" for entry in entries) or bool(_versions(entries))


def _versions(entries: tuple[Entry, ...]) -> list[Entry]:
    return sorted((e for e in entries if e.is_dir and _VERSION.match(e.name)), key=lambda e: int(e.name))


def _triton_model(files: Files, path: str, entries: tuple[Entry, ...]) -> Recognised:
    name = path.rsplit("/", 1)[-1] or "this folder"
    config = next((entry for entry in entries if entry.name == "config.pbtxt" and not entry.is_dir), None)
    backend, problems = "", []
    if config is not None:
        backend, problem = _backend(files, config)
        problems += [problem] if problem else []
    versions = _versions(entries)
    if not versions and backend != "ensemble":
        problems.append("There is no version folder: put the model file into a folder named 1.")
    model_files: list[str] = []
    for version in versions[-3:]:
        inside = _names(files, version.path)
        model_files += [name for name in inside if _MODEL_FILES.match(name)]
        if not inside and backend != "ensemble":
            problems.append(f"The version folder {version.name} holds no model file.")
    if config is None and versions and not model_files:
        problems.append("There is no config.pbtxt, and no model file with a name that Triton knows, as model.onnx.")
    backend = backend or _backend_of(model_files)
    numbers = [int(version.name) for version in versions]
    summary = f"A Triton model ({backend})" if backend else "A Triton model"
    version_text = f" with version{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}" if numbers else ""
    return Recognised(
        "triton_model",
        f"{summary}{version_text}.",
        models=(name,) if path else (),
        problems=tuple(problems),
        details={"backend": backend, "versions": numbers, "has_config": config is not None},
    )


def _backend(files: Files, config: Entry) -> tuple[str, str]:
    """The backend that a config.pbtxt names, and what is wrong with the file. A reader, not a parser, of the format."""
    try:
        text = decode(files.read(config.path, MAX_TEXT))
    except UnicodeDecodeError:
        return "", "config.pbtxt is not text in UTF-8."
    except SourceError as error:
        return "", f"config.pbtxt cannot be read: {error.message}"
    text = re.sub(r"^[^\S\n]*#.*$", "", text, flags=re.M)
    for field in ("platform", "backend"):
        if (match := re.search(_TEXT_FIELD.format(field), text, re.M)) and match[1]:
            return match[1], ""
    return "", ""


def _backend_of(model_files: list[str]) -> str:
    """The backend that Triton would take for a model file of this name."""
    by_suffix = {
        "onnx": "onnxruntime",
        "plan": "tensorrt",
        "pt": "pytorch",
        "pt2": "pytorch",
        "py": "python",
        "xml": "openvino",
        "graphdef": "tensorflow",
        "savedmodel": "tensorflow",
    }
    backends = [by_suffix.get(name.rsplit(".", 1)[-1], "") for name in model_files]
    return next((backend for backend in backends if backend), "")


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
    models = tuple(f.name for f in folders[:MAX_MODELS] if _is_model(files, f.path))
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


def _is_model(files: Files, path: str) -> bool:
    try:
        return _looks_like_model(_copied(files.list(path, limit=MAX_ENTRIES)))
    except SourceError:
        return False


def _names(files: Files, path: str) -> list[str]:
    try:
        return [entry.name for entry in _copied(files.list(path, limit=MAX_ENTRIES))]
    except SourceError:
        return []
