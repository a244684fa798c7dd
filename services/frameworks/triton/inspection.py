"""What is known of the folder of one model: study.py fills it in, graphs.py what its ONNX graph adds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from datasets.inspect.formats import onnx
from datasets.inspect.report import Difference, Executable
from datasets.inspect.triton import layout as layouts
from datasets.inspect.triton.ensembles import is_ensemble
from datasets.inspect.triton.layout import Layout
from datasets.inspect.triton.names import Names
from services.frameworks.triton import config as configs


@dataclass
class Inspection:
    """`config` is complete and ready to be written when there are no `problems`."""

    name: str = ""
    """What the model is called in Triton."""
    folder: str = ""
    """Its folder in a repository of several models, "" when the files are those of one model."""
    layout: Layout = field(default_factory=lambda: Layout(Path(), Names({})))
    links: tuple[tuple[str, str], ...] = ()
    """Its files in the generated repository, without config.pbtxt: name there -> path relative to the tree."""
    config_text: str = ""
    config: configs.ModelConfig = None
    graph: onnx.Graph | None = None
    """The graph of an ONNX model."""
    comparison: tuple[Difference, ...] = ()
    """What the file config.pbtxt says beside what the model says."""
    suggested: str = ""
    """A complete config.pbtxt for an ONNX model."""
    executable: tuple[Executable, ...] = ()
    completes: bool = False
    """A Python model says more of itself when it is loaded."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def versions_of(inspection: Inspection) -> tuple[int, ...]:
    """What Triton loads. An ensemble without a version folder gets one when it is launched."""
    if inspection.config is None:
        return ()
    return layouts.loaded_versions(inspection.layout) or ((1,) if is_ensemble(inspection.config) else ())
