"""Triton models, repositories of them, and ONNX files, in words and tables, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from datasets.inspect import executable
from datasets.inspect.budget import Budget
from datasets.inspect.config_pbtxt import config_fields, pbtxt
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats import onnx
from datasets.inspect.huggingface.model import human
from datasets.inspect.listing import files_below, is_hole
from datasets.inspect.report import Executable, ModelTensor, Report
from datasets.inspect.triton import compare, repository
from datasets.inspect.triton import layout as triton_layout
from datasets.inspect.triton.ensembles import Members
from datasets.inspect.triton.suggest import suggest

MOST_MODELS: Final = 100
MOST_NAMED: Final = 50
LOADS: Final = {
    "python": executable.EVERYTHING,
    "pytorch": frozenset({".pt", ".pt2", *executable.LIBRARIES}),
    "tensorrt": frozenset({*executable.PLANS, *executable.LIBRARIES}),
    "tensorflow": executable.EVERYTHING,
    **dict.fromkeys(("onnxruntime", "openvino", "ensemble", "fil", "identity"), frozenset(executable.LIBRARIES)),
}
"""Backend of Triton -> endings of files that it opens and that can hold code. Any other one can run whatever it finds.
"""


def code_of(
    folder: Path, files: list[str], backend: str, model_files: Sequence[str], config: Any, budget: Budget
) -> tuple[Executable, ...]:
    """What of `files` is code.

    `model_files`: what the backend loads (layout.model_files); `config`: None without a config.pbtxt.
    Triton also takes a model.py, or a libtriton_….so, that lies with the model for the backend itself.
    """
    loads = LOADS.get(backend, executable.EVERYTHING)
    if backend != "python" and loads & {*executable.MAYBE_PICKLES}:  # the model's file is one, whatever it is called
        loads |= {*model_files}
    named_there = (*_named(config, files), *_of_backend(backend, model_files, files))
    executables = (*named_there, *executable.find(folder, files, loads, budget))
    programs = [file for file in files if file.lower().endswith(executable.PROGRAMS)]
    named = [file for file in programs if file.rsplit("/", 1)[-1] == "model.py"]
    if backend != "python" and not named:
        return executables
    main = model_files if backend == "python" and model_files else (*named, *programs, "model.py")[:1]
    others = {*programs, *main[1:]} - {main[0]}
    return (python_program(main[0], sorted(others)), *executables)


def _of_backend(backend: str, model_files: Sequence[str], files: list[str]) -> tuple[Executable, ...]:
    """What runs because of who loads it."""
    if backend and backend not in LOADS:
        reason = f"It is loaded by the backend {backend}, and the console does not know what that runs."
        return (Executable(next(iter(model_files), pbtxt.NAME), "backend", reason, others=tuple(files)),)
    if backend not in {"tensorrt", "tensorflow"}:
        return ()
    by_name = executable.PLANS if backend == "tensorrt" else (*executable.PLANS, *executable.GRAPHS)
    others = [file for file in model_files if file in files and not file.lower().endswith(by_name)]
    return tuple(Executable(file, "plan", executable.PLAN) for file in others)


def _named(config: Any, files: list[str]) -> tuple[Executable, ...]:
    """Libraries and settings that config.pbtxt has: they run whatever their files are called."""
    if config is None:
        return ()
    executables = tuple(config_fields.settings(config, pbtxt.NAME)[:MOST_NAMED])
    if environment := config_fields.environment_of(config):
        # With a version folder the path is as the files lie; a model without one gets them below 1/.
        path = environment if any(_is_below(file, environment) for file in files) else environment.removeprefix("1/")
        inside = tuple(file for file in files if _is_below(file, path))
        reason = "The Python environment that the model runs in."
        executables += (Executable(path, "archive", reason, others=tuple(file for file in inside if file != path)),)
    return executables


def _is_below(file: str, path: str) -> bool:
    return file == path or file.startswith(f"{path}/")


def python_program(path: str, others: Sequence[str] = ()) -> Executable:
    more = "the other .py file" if len(others) == 1 else f"{len(others)} other .py files"
    also = f" So may {more} beside it." if others else ""
    reason = f"A Python program: it runs with the rights of the console.{also}"
    return Executable(path, "python", reason, others=tuple(others))


def repository_report(path: Path, name: str, models: Sequence[str], budget: Budget) -> Report:
    members = repository.read(path, models, budget) if len(models) <= repository.MOST_MODELS else None
    reports = tuple(triton_report(path / model, model, budget, members) for model in models[:MOST_MODELS])
    count = "1 model" if len(models) == 1 else f"{len(models)} models"
    shown = ", ".join(models[:5]) + (", …" if len(models) > 5 else "")
    problems = tuple(f"{model.name}: {problem}" for model in reports for problem in model.problems)
    main, why = repository.choose(members) if members else ("", repository.TOO_MANY)
    notes = [f"Callers of a service on this folder call {main}." if main else why]
    notes += [f"Only the first {MOST_MODELS} models were looked at."] if len(models) > MOST_MODELS else []
    return Report(
        "triton_repository",
        f"A Triton repository of {count}: {shown}.",
        name,
        problems=problems,
        notes=tuple(notes),
        models=reports,
    )


def triton_report(path: Path, name: str, budget: Budget, members: Members | None) -> Report:
    layout = triton_layout.read(path, name, members)
    files = files_below(path, budget)
    backend = layout.backend
    executables = code_of(path, files, backend, triton_layout.model_files(layout), layout.config, budget)
    versions = f" with version{'s' if len(layout.versions) > 1 else ''} {', '.join(map(str, layout.versions[:5]))}"
    summary = f"A Triton model{f' ({backend})' if backend else ''}{versions if layout.versions else ''}."
    report = Report("triton_model", summary, name)
    if backend == "onnxruntime" and layout.model_file:
        report = onnx_report(path / layout.model_file, name, layout.config, budget, compared=True)
        others = [
            (file, onnx_report(path / file, name, layout.config, budget, compared=True)) for file in layout.other_files
        ]
        layout.problems += [f"{file}: {problem}" for file, other in others for problem in other.problems]
    facts = [("Backend", backend), *report.facts]
    if layout.config is not None and layout.config.max_batch_size:
        facts.insert(1, ("Batches", f"of up to {layout.config.max_batch_size}"))
    if layout.config is not None and not report.inputs:
        report = replace(report, inputs=_configured(layout.config.input), outputs=_configured(layout.config.output))
    return replace(
        report,
        kind="triton_model",
        summary=summary,
        executable=executables,
        facts=tuple((label, text) for label, text in facts if text),
        problems=(*layout.problems, *report.problems),
        notes=(*layout.notes, *report.notes),
    )


def _configured(repeated: Any) -> tuple[ModelTensor, ...]:
    return tuple(ModelTensor(one.name, pbtxt.type_name(one).removeprefix("TYPE_"), tuple(one.dims)) for one in repeated)


def onnx_report(path: Path, name: str, config: Any, budget: Budget, *, compared: bool = False) -> Report:
    size = path.stat().st_size
    summary = f"An ONNX model: {path.name}."
    try:
        graph = onnx.read(path, budget)
        problems = onnx.problems(path, graph)
    except Unreadable as error:
        if not size or is_hole(path):
            return Report("onnx", summary, name, notes=(f"{path.name} was not looked into yet.",))
        return Report("onnx", summary, name, problems=(f"{path.name} cannot be read as ONNX: {error}.",))
    opset = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in sorted(graph.opsets.items())[:5])
    facts = [
        ("Made by", graph.producer[:80]),
        ("Opset", opset),
        ("Operators", str(graph.nodes)),
        ("Parameters", human(graph.parameters)),
        ("Weights beside the file", ", ".join(sorted(graph.external)[:5])),
    ]
    notes = [
        f"The model uses operators of {domain}: the server needs the library that has them."
        for domain in graph.foreign_domains[:5]
    ]
    rows = compare.compare(config, graph) if compared else ()
    problems += compare.problems(rows)
    notes += compare.notes(rows)
    return Report(
        "onnx",
        summary,
        name,
        facts=tuple((label, text) for label, text in facts if text),
        inputs=tuple(map(_model_tensor, graph.inputs)),
        outputs=tuple(map(_model_tensor, graph.outputs)),
        problems=tuple(problems),
        notes=tuple(notes),
        comparison=rows,
        suggested=suggest(graph, config, name),
    )


def _model_tensor(value: onnx.Value) -> ModelTensor:
    kind = pbtxt.TYPES.get(value.element, "").removeprefix("TYPE_") or onnx.ELEMENTS.get(value.element, "")
    return ModelTensor(value.name, kind if value.kind == "tensor" else value.kind, value.shape or ())
