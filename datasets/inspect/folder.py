"""One look at a folder of model files: which kind it is, and what the readers of that kind say."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

from datasets.inspect import executable, not_models
from datasets.inspect.budget import SECONDS, Budget
from datasets.inspect.errors import TooMuch, Unreadable
from datasets.inspect.formats import gguf
from datasets.inspect.huggingface import model as huggingface
from datasets.inspect.huggingface.summary import report_of
from datasets.inspect.listing import files_below, is_hole
from datasets.inspect.report import Report
from datasets.inspect.triton.layout import MODEL, REPOSITORY, find
from datasets.inspect.triton.summary import LOADS, code_of, onnx_report, repository_report, triton_report

MOST_PROBLEMS: Final = 50
MOST_ROWS: Final = 500
logger = logging.getLogger(__name__)


def inspect(path: Path, name: str = "", seconds: float = SECONDS) -> Report:
    """What the model files in the folder `path` say; `name` is what their folder is called where they come from.

    Takes at most about `seconds`, and a few dozen megabytes. Never raises: what is wrong is in `problems`.
    """
    try:
        return _bounded(_inspect(path, name, Budget(seconds)))
    except TooMuch as error:
        problem = f"The folder is not looked at to its end: {error}."
        return Report("unknown", "Not looked at to the end.", name, problems=(problem,), whole=False)
    except OSError as error:
        problem = f"The files cannot be read: {error.strerror or error}."
        return Report("unknown", "Not readable.", name, problems=(problem,), whole=False)
    except Exception:  # the edge: a reader that fails on a file must not fail the round that copied it
        logger.exception("a folder of model files could not be looked at")
        problem = "The files could not be looked at: the log of the worker has the details."
        return Report("unknown", "Not readable.", name, problems=(problem,), whole=False)


def _bounded(report: Report) -> Report:
    return replace(
        report,
        problems=report.problems[:MOST_PROBLEMS],
        notes=report.notes[:MOST_PROBLEMS],
        inputs=report.inputs[:MOST_ROWS],
        outputs=report.outputs[:MOST_ROWS],
        comparison=report.comparison[:MOST_ROWS],
        models=tuple(map(_bounded, report.models)),
        executable=tuple(
            replace(one, others=one.others[: executable.MOST_SHOWN]) for one in executable.shown(report.executable)
        ),
    )


def _inspect(path: Path, name: str, budget: Budget) -> Report:
    if path.is_file():
        return _single(path, name, budget)
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    if not names:
        return Report("empty", "An empty folder.", name)
    layout = find(path)
    if layout.kind == MODEL:
        return triton_report(path, name, budget, None)
    if "config.json" in names and _is_huggingface(path):
        files = files_below(path, budget)
        return report_of(huggingface.read(path, budget), path, name, files, budget)
    if layout.kind == REPOSITORY:
        return repository_report(path, name, layout.models, budget)
    files = files_below(path, budget)
    executables = tuple(executable.find(path, files, executable.EVERYTHING, budget))
    if layout.model_file == "model.py":
        summary = "A Python model of Triton, without a version folder."
        return Report("python", summary, name, executable=code_of(path, files, "python", ["model.py"], None, budget))
    graphs = [entry for entry in names if entry.endswith(".onnx") and (path / entry).is_file()]
    if graphs:
        chosen = layout.model_file or graphs[0]
        notes = () if len(graphs) == 1 else (f"There are {len(graphs)} .onnx files here; this is said of {chosen}.",)
        report = onnx_report(path / chosen, name, None, budget)
        runs = tuple(executable.find(path, files, LOADS["onnxruntime"], budget))
        return replace(report, notes=(*notes, *report.notes), executable=runs)
    if quantised := [entry for entry in names if entry.endswith(".gguf") and (path / entry).is_file()]:
        return replace(_gguf(path / quantised[0], name, budget), executable=executables)
    other = not_models.what_to_choose(names)
    return Report(
        "unknown",
        "Not a model that the console knows.",
        name,
        problems=(other,) if other else (),
        executable=executables,
    )


def _single(path: Path, name: str, budget: Budget) -> Report:
    if path.name.endswith(".onnx"):
        return onnx_report(path, name, None, budget)
    if path.name.endswith(".gguf"):
        return _gguf(path, name, budget)
    executables = tuple(executable.find(path.parent, [path.name], executable.EVERYTHING, budget))
    return Report("unknown", "A single file.", name, executable=executables)


def _is_huggingface(path: Path) -> bool:
    try:
        config = huggingface.read_json(path / "config.json")
    except Unreadable:
        return True  # what is wrong with it is said by its reader
    return "architectures" in config or "model_type" in config


def _gguf(path: Path, name: str, budget: Budget) -> Report:
    summary = f"A GGUF file: {path.name}."
    try:
        model = gguf.read(path, budget)
    except Unreadable as error:
        if is_hole(path):
            return Report("gguf", summary, name, notes=(f"{path.name} was not looked into yet.",))
        return Report("gguf", summary, name, problems=(f"{path.name} cannot be read as GGUF: {error}.",))
    why = (
        "GGUF files cannot be served here: vLLM needs the tokenizer and config.json of the original model, and Triton "
        "has no backend for them. Use the model's Hugging Face folder with safetensors files."
    )
    return Report("gguf", summary, name, facts=tuple(model.facts), problems=(why,))
