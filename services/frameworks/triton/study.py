"""Studies the folder of one model: what Triton would be asked to load, and what stands in the way.

Reads config.pbtxt, file names and ONNX graphs; runs no model code. A service of several models: repository.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from datasets.inspect.budget import Budget
from datasets.inspect.config_pbtxt import config_fields, config_rules, pbtxt, sample_rules
from datasets.inspect.errors import TooMuch, Unreadable
from datasets.inspect.listing import files_below
from datasets.inspect.report import Executable
from datasets.inspect.triton import layout as layouts
from datasets.inspect.triton import summary
from datasets.inspect.triton.ensembles import is_ensemble
from services.errors import ModelError
from services.frameworks.triton import config as configs
from services.frameworks.triton import graphs
from services.frameworks.triton.inspection import Inspection
from services.frameworks.triton.links import links

NO_MODEL: Final = (
    "There is no model that Triton can serve here: expected config.pbtxt with a version folder such as 1/, "
    "or one .onnx file, or model.py."
)
ALONE: Final = "This is an ensemble: choose the folder above as the model path, which has the models of its steps too."


def study(tree: Path, options: Mapping[str, Any], name: str = "model", folder: str = "") -> Inspection:
    """The model in `tree`; with `folder` it is that one of a repository, and `tree` its folder.

    Never raises for bad files: what is wrong is in `problems`, one sentence each.
    """
    inspection = Inspection(name, folder)
    try:
        inspection.layout = layouts.find(tree)
        if inspection.layout.kind not in {layouts.MODEL, layouts.BARE}:
            inspection.problems.append(NO_MODEL)
            return inspection
        inspection.links = links(inspection.layout)
        inspection.config_text = read_config(tree)
        of_file = configs.parse(inspection.config_text)
        check_options(of_file, options)
        inspection.config = inspection.layout.config = configs.overlay(of_file, options, name)
        inspection.notes += [
            f"{field} is left out: the bundled Triton does not know it." for field in configs.drop_newer(of_file)
        ]
        inspection.problems += [*config_fields.problems(inspection.config), *config_rules.problems(inspection.config)]
        if inspection.problems:
            return inspection
        check_files(inspection)
        inspection.executable = code_of(inspection)
        if not inspection.problems:
            graphs.compare_first(inspection, tree, of_file)
            fill_tensors(inspection, tree)
            graphs.compare_others(inspection, tree)
            check_config(inspection)
    except ModelError as error:
        inspection.problems.append(str(error))
    except OSError as error:
        inspection.problems.append(f"The model files cannot be read: {error.strerror or error}.")
    return inspection


def check_options(of_file: configs.ModelConfig, options: Mapping[str, Any]) -> None:
    """Raises ModelError for what Triton takes of no ensemble."""
    batching = options.get("dynamic_batching") or {}
    names = [name for name in ("backend", "instances") if options.get(name)]
    names += ["dynamic_batching"] if batching.get("enabled") else []
    if names and is_ensemble(of_file):
        raise ModelError(
            f"An ensemble has no {' and no '.join(names)} of its own: leave that out, and set it in the config.pbtxt "
            "of its steps."
        )


def read_config(tree: Path) -> str:
    try:
        return pbtxt.read(tree)
    except Unreadable as error:
        raise ModelError(f"{error}.") from error


def check_files(inspection: Inspection) -> None:
    """Also set the backend that Triton would guess, so that the page can show it."""
    config, layout = inspection.config, inspection.layout
    layouts.choose_backend(layout)
    if is_ensemble(config) and not inspection.folder:
        inspection.problems.append(ALONE)
        return
    if layout.backend and not configs.backend(config):
        config.backend = layout.backend
    layouts.check_files(layout)
    inspection.problems += layout.problems
    inspection.notes += layout.notes


def code_of(inspection: Inspection) -> tuple[Executable, ...]:
    """Code that the chosen backend would run. Raises ModelError when the folder has too much to look through."""
    budget, layout = Budget(), inspection.layout
    try:
        files = files_below(layout.folder, budget)
        return summary.code_of(
            layout.folder, files, layout.backend, layouts.model_files(layout), inspection.config, budget
        )
    except TooMuch as error:
        raise ModelError(f"The folder cannot be looked through for code: {error}.") from error


def fill_tensors(inspection: Inspection, tree: Path) -> None:
    if configs.backend(inspection.config) == "python":
        inspection.completes = b"auto_complete_config" in (tree / inspection.layout.model_file).read_bytes()
    if inspection.config.input and inspection.config.output:
        return
    if inspection.graph is not None:
        graphs.fill(inspection, inspection.graph, graphs.files(inspection)[0])
    elif configs.backend(inspection.config) == "python":
        if inspection.completes:
            inspection.notes.append("The Python model says its inputs and outputs itself when it is loaded.")
        else:
            check_declared(inspection)


def check_declared(inspection: Inspection) -> None:
    """Raises ModelError when nobody could call a Python model that declares only this. Without inputs, some can."""
    if not inspection.config.output:
        missing = "outputs" if inspection.config.input else "inputs and outputs"
        raise ModelError(f"Nothing says what {missing} the Python model has: fill in its {missing}.")
    if inspection.config.max_batch_size:
        raise ModelError("Nothing says what inputs the Python model has, and batches need some: fill in its inputs.")
    inspection.notes.append("config.pbtxt names no inputs, so requests bring none: fill them in if the model has some.")


def check_config(inspection: Inspection) -> None:
    inspection.problems += sample_rules.problems(inspection.config)
    inspection.notes += config_rules.notes(inspection.config)
    if configs.has_sequences(inspection.config):
        inspection.notes.append("The model has sequences: each one stays at the replica that its sequence_id leads to.")
    if any(group.kind == group.KIND_GPU for group in inspection.config.instance_group):
        inspection.notes.append("config.pbtxt asks for a GPU; a service without one runs it on the CPU.")
