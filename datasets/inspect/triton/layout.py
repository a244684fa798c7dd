"""Whether a folder is laid out as Triton expects a model, explained before anything is started. Reads, runs nothing.

See https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_repository.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from datasets.inspect import windows_text
from datasets.inspect.config_pbtxt import config_fields, config_rules, named_files, pbtxt, sample_rules, unquoted
from datasets.inspect.errors import Unreadable
from datasets.inspect.triton import ensembles, names, versions
from datasets.inspect.triton.ensembles import Member, Members
from datasets.inspect.triton.names import BACKENDS, DEFAULT_FILES, Names

MODEL: Final = "model"
"""A Triton model folder: config.pbtxt, version folders, or both."""
BARE: Final = "bare"
"""One model file without a version folder: a repository is generated around it."""
REPOSITORY: Final = "repository"
"""Folders of models. Triton leaves the files beside them alone, and models may read them."""
NOTHING: Final = "nothing"
NO_VERSION_OF_ENSEMBLE: Final = (
    "There is no version folder: Triton by itself wants one for an ensemble too, named 1 and empty. A service makes it."
)


@dataclass
class Layout:
    """What a folder is. `config` is None when a model has no config.pbtxt, or it cannot be read."""

    folder: Path
    names: Names
    kind: str = NOTHING
    models: tuple[str, ...] = ()
    """The folders of a repository's models."""
    versions: tuple[int, ...] = ()
    config: Any = None
    backend: str = ""
    model_file: str = ""
    """What the highest version would load, relative to the folder; "" when it is not there."""
    other_files: list[str] = field(default_factory=list)
    """What the other versions would load."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def has_config(self) -> bool:
        return self.names.has_config

    @property
    def is_unreadable(self) -> bool:
        return self.has_config and self.config is None


def find(folder: Path) -> Layout:
    """What the folder is, by names alone: no file is opened. Raises OSError."""
    present = Names.of(folder)
    if present.is_model:
        return Layout(folder, present, MODEL, versions=present.versions)
    if models := tuple(name for name in present.folders if name[0] != "." and Names.of(folder / name).is_model):
        return Layout(folder, present, REPOSITORY, models)
    if present.bare:
        return Layout(folder, present, BARE, versions=(1,), model_file=present.bare)
    return Layout(folder, present)


def read(folder: Path, name: str = "", members: Members | None = None) -> Layout:
    """The folder of one model, by its own config.pbtxt.

    `name`: of the folder in its repository, "" if not known; `members`: the models of that repository.

    Raises OSError.
    """
    layout = find(folder)
    try:
        if layout.has_config:
            layout.config = pbtxt.parse(pbtxt.read(folder))
    except Unreadable as error:
        layout.problems.append(f"{error}.")
    choose_backend(layout)
    if layout.config is not None:
        _check_name(layout, name)
        layout.problems += [*config_fields.problems(layout.config), *config_rules.problems(layout.config)]
        layout.problems += sample_rules.problems(layout.config)
        layout.notes += config_rules.notes(layout.config)
    check_files(layout)
    if ensembles.is_ensemble(layout.config):
        layout.problems += ensembles.problems(layout.config, members, name)
        layout.notes += [] if layout.versions else [NO_VERSION_OF_ENSEMBLE]
    return layout


def member_of(layout: Layout) -> Member:
    """What the other models of its repository need to know of it."""
    config = layout.config if layout.has_config else pbtxt.parse("")
    numbers = loaded_versions(layout) if layout.versions or not ensembles.is_ensemble(config) else (1,)
    fault = layout.problems[0] if layout.is_unreadable else ""
    return Member(config, layout.backend, numbers, fault)


def _check_name(layout: Layout, name: str) -> None:
    own = str(layout.config.name)
    if name and own and own != name:
        layout.notes.append(
            f"config.pbtxt is of {own} and the folder is named {name}: Triton by itself refuses that. A service puts "
            "its own name there."
        )


def choose_backend(layout: Layout) -> None:
    """The backend in the configuration, else the one that a loaded version has a model file for, as Triton guesses."""
    layout.backend = pbtxt.backend(layout.config) if layout.config is not None else ""
    if layout.kind == BARE:
        layout.backend = layout.backend or BACKENDS.get(layout.model_file, "onnxruntime")
        layout.model_file = "model.py" if layout.backend == "python" else layout.model_file
    elif not ensembles.is_ensemble(layout.config):
        for version in () if layout.backend else loaded_versions(layout):
            layout.backend = layout.backend or Names.of(layout.folder / str(version)).backend


def check_files(layout: Layout) -> None:
    """Look for what Triton opens: it misses files only after a start. Fills in `model_file`. Raises OSError."""
    config, is_ensemble = layout.config, ensembles.is_ensemble(layout.config)
    if config is not None:
        layout.problems += filter(None, [unquoted.problem(config, layout.backend)])
        layout.problems += [] if layout.problems else named_files.problems(config, layout.folder)
    if layout.versions and layout.kind == MODEL:
        layout.problems += versions.problems(config, layout.names.folders)
        layout.notes += versions.notes(config, layout.names.folders)
    elif not layout.versions and not is_ensemble:
        layout.problems.append(names.without_version(layout.names))
    for version in () if is_ensemble else loaded_versions(layout):
        layout.problems += _problems_of_version(layout, version)
    if config is not None and layout.backend == "python" and not layout.problems:
        layout.problems += named_files.environment_problems(config, layout.folder)


def _problems_of_version(layout: Layout, version: int) -> Iterator[str]:
    path, file = layout.model_file, model_file_name(layout)
    if layout.kind == MODEL:
        if not config_fields.is_inside(file) or (layout.is_unreadable and not layout.backend):
            return  # said of config.pbtxt already
        path, inside = f"{version}/{file}", Names.of(layout.folder / str(version))
        if problem := names.problem_of_version(version, inside, layout.backend, file, has_config=layout.has_config):
            yield problem
            return
        if not file:
            return
        if not (layout.folder / path).exists():
            yield names.missing(version, file, layout.backend, list(inside.is_folder))
            return
        if layout.backend == "onnxruntime":
            # A model in several files is a folder with the graph in it (ModelState::LoadModel of that backend).
            path += f"/{DEFAULT_FILES['onnxruntime']}" if (layout.folder / path).is_dir() else ""
            yield from _problems_of_graph(layout, version, path)
        if (layout.folder / path).exists():
            layout.other_files += [layout.model_file] if layout.model_file else []
            layout.model_file = path
    if layout.backend == "python":
        yield from filter(None, [windows_text.problem_for_python(layout.folder / path, path)])


def loaded_versions(layout: Layout) -> tuple[int, ...]:
    return versions.loaded(layout.config, layout.versions)


def model_file_name(layout: Layout) -> str:
    """What the backend loads from a version folder; "" when that is not known."""
    configured = str(layout.config.default_model_filename) if layout.config is not None else ""
    return configured or DEFAULT_FILES.get(layout.backend, "")


def model_files(layout: Layout) -> tuple[str, ...]:
    """What the backend loads as the model and is there: the last version's first.

    A compute capability may have a file of its own.
    """
    if layout.kind == BARE:
        return (layout.model_file,)
    others = map(str, layout.config.cc_model_filenames.values()) if layout.config is not None else ()
    files = filter(None, (model_file_name(layout), *others))
    paths = dict.fromkeys(f"{version}/{file}" for file in files for version in reversed(loaded_versions(layout)))
    return tuple(path for path in paths if (layout.folder / path).exists())


def _problems_of_graph(layout: Layout, version: int, path: str) -> Iterator[str]:
    """What Triton's onnxruntime backend opens and does not find: the graph in a folder, and libraries of operators."""
    if not (layout.folder / path).exists():
        yield f"{path} is missing: a folder for an ONNX model holds the graph under that name."
    for library in layout.config.model_operations.op_library_filename if layout.config is not None else ():
        if not (layout.folder / str(version) / library).is_file():
            yield f"{version}/{library} is missing, which config.pbtxt names as op_library_filename: add it."
