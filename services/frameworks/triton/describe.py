"""Studies a folder of model files: what Triton would be asked to load, and what stands in the way.

Reads config.pbtxt, file names and ONNX graphs; runs no model code. Both the create form and the launch start here, so
they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.errors import ModelError
from services.frameworks.triton import config as configs
from services.frameworks.triton import layout as layouts
from services.frameworks.triton import onnx_graph
from services.frameworks.triton.layout import Layout
from services.specs import ModelDescription

MAX_CONFIG_BYTES: Final = 1 << 20
BUILT_IN: Final = ("onnxruntime", "python")
"""Backends that the bundled runtime has. A runtime made for a GPU server may have more, so others are a note."""


@dataclass
class Study:
    """`config` is complete and ready to be written when there are no `problems`."""

    layout: Layout = field(default_factory=lambda: Layout(layouts.NOTHING))
    config_text: str = ""
    config: configs.ModelConfig = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def study(tree: Path, options: Mapping[str, Any], name: str = "model") -> Study:
    """Never raises for bad files: what is wrong is in `problems`, one sentence each."""
    made = Study()
    try:
        made.layout = layouts.read(tree)
        if trouble := unusable(made.layout):
            made.problems.append(trouble)
            return made
        made.config_text = read_config(tree)
        made.config = configs.overlay(configs.parse(made.config_text), options, name)
        infer_backend(made)
        check_files(made, tree)
        if not made.problems:
            fill_tensors(made, tree)
            check_config(made)
    except ModelError as error:
        made.problems.append(str(error))
    except OSError as error:
        made.problems.append(f"The model files cannot be read: {error.strerror or error}.")
    return made


def describe(tree: Path, options: Mapping[str, Any]) -> ModelDescription:
    """Shapes are as config.pbtxt has them: without the batch dimension when max_batch_size is set."""
    made = study(tree, options)
    if made.config is None:
        return ModelDescription(
            config_text=made.config_text, problems=tuple(made.problems), notes=tuple(made.notes)
        )
    return ModelDescription(
        inputs=configs.tensors(made.config.input), outputs=configs.tensors(made.config.output),
        backend=configs.backend(made.config), max_batch_size=made.config.max_batch_size,
        decoupled=made.config.model_transaction_policy.decoupled, config_text=made.config_text,
        problems=tuple(made.problems), notes=tuple(made.notes),
    )


def unusable(layout: Layout) -> str:
    if layout.kind == layouts.REPOSITORY:
        if len(layout.models) == 1:
            return f"This is a Triton repository with the model {layout.models[0]}: choose it as the model path."
        names = ", ".join(layout.models)
        return f"This is a Triton repository with models {names}: choose one of them as the model path."
    if layout.kind == layouts.NOTHING:
        return (
            "There is no model that Triton can serve here: expected config.pbtxt with a version folder such as 1/, "
            "or one .onnx file, or model.py."
        )
    return ""


def read_config(tree: Path) -> str:
    path = tree / layouts.CONFIG
    if not path.exists():
        return ""
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ModelError("config.pbtxt is larger than 1 MiB: that is not a model configuration.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError("config.pbtxt is not UTF-8 text.") from error


def infer_backend(made: Study) -> None:
    """Triton guesses the backend from the file names as well; said here so that the page can show it."""
    if configs.backend(made.config):
        return
    if made.layout.backend:
        made.config.backend = made.layout.backend
    elif made.layout.versions:
        made.problems.append(
            "config.pbtxt names no backend and the model file is none that Triton knows: set the backend, for example "
            "python or onnxruntime."
        )


def check_files(made: Study, tree: Path) -> None:
    """The files that Triton will open must be there; it would say so only after a start."""
    backend = configs.backend(made.config)
    if backend == "ensemble":
        made.problems.append("This is an ensemble: it needs its other models beside it, and a service holds one model.")
        return
    file = str(made.config.default_model_filename) or layouts.DEFAULT_FILES.get(backend, "")
    if Path(file).is_absolute() or ".." in Path(file).parts:
        made.problems.append(f"default_model_filename {file!r} leads out of the version folder: name a file in it.")
        return
    if not made.layout.versions:
        made.problems.append(f"There is no version folder: put the model into 1/{file}.")
        return
    for version in wanted_versions(made):
        folder = tree / str(version)
        if made.layout.kind == layouts.BARE or (file and (folder / file).exists()):
            continue
        if not folder.is_dir() or file:
            made.problems.append(f"{version}/{file} is missing: the {backend or 'model'} backend loads it.")
        elif not any(folder.iterdir()):
            made.problems.append(f"The version folder {version}/ is empty: put the model file into it.")


def wanted_versions(made: Study) -> tuple[int, ...]:
    """What the version policy loads: the highest unless config.pbtxt says more."""
    policy = made.config.version_policy
    if policy.HasField("specific"):
        return tuple(policy.specific.versions)
    if policy.HasField("all"):
        return made.layout.versions
    return made.layout.versions[-max(policy.latest.num_versions, 1):]


def fill_tensors(made: Study, tree: Path) -> None:
    if made.config.input and made.config.output:
        return
    if made.layout.graph:
        try:
            inputs, outputs = onnx_graph.read(tree / made.layout.graph)
        except onnx_graph.BadGraph as error:
            raise ModelError(f"{made.layout.graph} cannot be read as ONNX: {error}.") from error
        configs.complete(made.config, inputs, outputs)
        made.notes.append(f"Inputs and outputs were read from {made.layout.graph}.")
    elif configs.backend(made.config) == "python":
        if b"auto_complete_config" not in python_source(made, tree):
            missing = " and ".join(
                kind for kind, there in (("inputs", made.config.input), ("outputs", made.config.output)) if not there
            )
            raise ModelError(f"Nothing says what {missing} the Python model has: fill in its {missing}.")
        made.notes.append("The Python model says its inputs and outputs itself when it is loaded.")


def python_source(made: Study, tree: Path) -> bytes:
    if made.layout.kind == layouts.BARE:
        return (tree / "model.py").read_bytes()
    file = str(made.config.default_model_filename) or "model.py"
    return (tree / str(wanted_versions(made)[-1]) / file).read_bytes()


def check_config(made: Study) -> None:
    backend = configs.backend(made.config)
    if made.config.HasField("dynamic_batching"):
        limit = made.config.max_batch_size
        if limit < 1:
            made.problems.append("Dynamic batching needs a max batch size of at least 1.")
        elif any(size > limit for size in made.config.dynamic_batching.preferred_batch_size):
            made.problems.append(f"A preferred batch size is above the max batch size of {limit}.")
    if backend not in BUILT_IN:
        made.notes.append(f"The model needs the Triton backend {backend}, which the bundled CPU runtime does not have.")
    if any(group.kind == group.KIND_GPU for group in made.config.instance_group):
        made.notes.append("config.pbtxt asks for a GPU; a service without one runs it on the CPU.")
