"""The ONNX graphs of a model in its study: which files they are, and whether config.pbtxt agrees with each."""

from __future__ import annotations

from pathlib import Path

from datasets.inspect.config_pbtxt import roles
from datasets.inspect.formats import onnx
from datasets.inspect.triton import compare
from datasets.inspect.triton.suggest import suggest
from services.errors import ModelError
from services.frameworks.triton import config as configs
from services.frameworks.triton import onnx_graph
from services.frameworks.triton.inspection import Inspection


def files(inspection: Inspection) -> list[str]:
    """The ONNX files that would be served, relative to the tree, the highest version's first; [] for other models."""
    if configs.backend(inspection.config) != "onnxruntime":
        return []
    return [inspection.layout.model_file, *reversed(inspection.layout.other_files)]


def load(tree: Path, name: str) -> onnx.Graph:
    try:
        return onnx_graph.load(tree / name)
    except onnx_graph.BadGraph as error:
        raise ModelError(f"{name} cannot be read as ONNX: {error}.") from error


def compare_first(inspection: Inspection, tree: Path, of_file: configs.ModelConfig) -> None:
    """Hold config.pbtxt, and what the form lays over it, against an ONNX model itself."""
    names = files(inspection)
    if not names:
        return
    inspection.graph = load(tree, names[0])
    shown = of_file if inspection.config_text else None
    inspection.comparison = compare.compare(shown, inspection.graph)
    inspection.suggested = suggest(inspection.graph, shown)
    rows = compare.compare(inspection.config, inspection.graph)
    inspection.problems += [*onnx.problems(tree / names[0], inspection.graph), *compare.problems(rows)]
    inspection.notes += compare.notes(rows)


def compare_others(inspection: Inspection, tree: Path) -> None:
    """One config.pbtxt is for all versions, and Triton serves none of them when one does not load."""
    for name in files(inspection)[1:]:
        graph = load(tree, name)
        problems = [*onnx.problems(tree / name, graph), *compare.problems(compare.compare(inspection.config, graph))]
        inspection.problems += [f"{name}: {problem}" for problem in problems]


def fill(inspection: Inspection, graph: onnx.Graph, name: str) -> None:
    """What config.pbtxt leaves out, without the inputs that Triton fills and the outputs that it keeps as state."""
    inputs, outputs = roles.client_inputs(inspection.config, graph), roles.client_outputs(inspection.config, graph)
    try:
        configs.complete(
            inspection.config,
            () if inspection.config.input else onnx_graph.tensors(inputs),
            () if inspection.config.output else onnx_graph.tensors(outputs),
        )
    except onnx_graph.BadGraph as error:
        if inspection.problems:
            return  # said of that tensor already
        raise ModelError(f"{name} cannot be read as ONNX: {error}.") from error
    inspection.notes.append(f"Inputs and outputs were read from {name}.")
