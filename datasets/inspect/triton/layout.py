"""Whether a folder is laid out as Triton expects a model, explained before anything is started. Reads, runs nothing.

See https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_repository.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from datasets.inspect import windows_text
from datasets.inspect.config_pbtxt import config_fields, config_rules, named_files, pbtxt, sample_rules, unquoted
from datasets.inspect.errors import Unreadable
from datasets.inspect.triton import ensembles, versions
from datasets.inspect.triton.ensembles import Member, Members

DEFAULT_FILES: Final = {
    "onnxruntime": "model.onnx",
    "python": "model.py",
    "pytorch": "model.pt",
    "tensorrt": "model.plan",
    "openvino": "model.xml",
    "tensorrtllm": "",
    "vllm": "model.json",
}
"""Backend -> the file of a version folder that it loads when config.pbtxt does not say otherwise."""
NO_GRAPH: Final = "{} is missing: a folder for an ONNX model holds the graph under that name."
MOST_SHOWN: Final = 5
NO_VERSION_OF_ENSEMBLE: Final = (
    "There is no version folder: Triton by itself wants one for an ensemble too, named 1 and empty. A service makes it."
)
MOST_VERSIONS: Final = 100
ALMOST_VERSION: Final = re.compile(r"v?0*\d+(\.\d+)*", re.I)


@dataclass
class Layout:
    """One model's folder. `config` is None when there is no config.pbtxt, or it cannot be read."""

    folder: Path
    config: Any = None
    has_config: bool = False
    backend: str = ""
    versions: tuple[int, ...] = ()
    model_file: str = ""
    """What the highest version would load, relative to the folder; "" when it is not there."""
    other_files: list[str] = field(default_factory=list)
    """What the other versions would load."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def graph_of(folder: Path, file: str) -> str:
    """The ONNX file that the backend opens for `file`, relative to `folder`.

    A model in several files is a folder of that name with the graph as model.onnx in it (ModelState::LoadModel of
    Triton's onnxruntime backend).
    """
    return f"{file}/{DEFAULT_FILES['onnxruntime']}" if (folder / file).is_dir() else file


def is_version(path: Path) -> bool:
    return versions.is_version(path.name) and path.is_dir()


def missing_for_onnx(config: Any, folder: Path, file: str) -> Iterator[str]:
    """What Triton's onnxruntime backend opens and does not find in a version `folder`: the graph, if `file` is a folder
    too, and libraries of operators. `config`: None without a config.pbtxt."""
    graph = graph_of(folder, file)
    if (folder / file).exists() and not (folder / graph).exists():
        yield NO_GRAPH.format(f"{folder.name}/{graph}")
    for library in config.model_operations.op_library_filename if config is not None else ():
        if not (folder / library).is_file():
            yield f"{folder.name}/{library} is missing, which config.pbtxt names as op_library_filename: add it."


def is_model(path: Path) -> bool:
    return path.is_dir() and ((path / pbtxt.NAME).is_file() or any(is_version(child) for child in path.iterdir()))


def read(folder: Path, name: str = "", members: Members | None = None) -> Layout:
    """`name`: of the folder in its repository, "" if not known; `members`: the models of that repository.

    Raises OSError.
    """
    layout = Layout(folder)
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    layout.versions = tuple(sorted(int(entry.name) for entry in entries if is_version(entry)))
    layout.has_config = (folder / pbtxt.NAME).is_file()
    try:
        if layout.has_config:
            layout.config = pbtxt.parse(pbtxt.read(folder))
    except Unreadable as error:
        layout.problems.append(f"{error}.")
    if layout.config is not None:
        layout.backend = pbtxt.backend(layout.config)
        _check_name(layout, name)
        layout.problems += [*config_fields.problems(layout.config), *config_rules.problems(layout.config)]
        if trouble := unquoted.problem(layout.config):
            layout.problems.append(trouble)
        layout.problems += sample_rules.problems(layout.config)
        if not layout.problems:
            layout.problems += named_files.problems(layout.config, folder)
        layout.notes += config_rules.notes(layout.config)
    _check_versions(layout, folder, entries)
    if layout.config is not None and ensembles.is_ensemble(layout.config):
        layout.problems += ensembles.problems(layout.config, members, name)
    elif layout.versions:
        _check_files(layout, folder)
    if layout.config is not None and layout.backend == "python" and not layout.problems:
        layout.problems += named_files.environment_problems(layout.config, folder)
    return layout


def member_of(layout: Layout) -> Member:
    """What the other models of its repository need to know of it."""
    config = layout.config if layout.has_config else pbtxt.parse("")
    ensemble = config is not None and ensembles.is_ensemble(config)
    versions = wanted_versions(layout) if layout.versions or not ensemble else (1,)
    fault = layout.problems[0] if layout.has_config and layout.config is None else ""
    return Member(config, layout.backend, versions, fault)


def _check_name(layout: Layout, name: str) -> None:
    own = str(layout.config.name)
    if name and own and own != name:
        layout.notes.append(
            f"config.pbtxt is of {own} and the folder is named {name}: Triton by itself refuses that. A service puts "
            "its own name there."
        )


def _check_versions(layout: Layout, folder: Path, entries: list[Path]) -> None:
    if layout.versions:
        folders = [entry.name for entry in entries if entry.is_dir()]
        layout.problems += versions.problems(layout.config, folders)
        layout.notes += versions.notes(layout.config, folders)
        return
    if layout.config is not None and ensembles.is_ensemble(layout.config):
        layout.notes.append(NO_VERSION_OF_ENSEMBLE)
        return
    almost = [entry.name for entry in entries if entry.is_dir() and ALMOST_VERSION.fullmatch(entry.name)]
    loose = [entry.name for entry in entries if entry.is_file() and entry.name in DEFAULT_FILES.values()]
    if almost:
        problem = (
            f"The folder {almost[0]} is no version to Triton: name it with a number that begins with 1 to 9, as 1."
        )
    elif loose:
        problem = f"There is no version folder: make a folder named 1 and move {loose[0]} into it."
    else:
        problem = "There is no version folder: put the model file into a folder named 1."
    layout.problems.append(problem)


def _check_files(layout: Layout, folder: Path) -> None:
    for version in wanted_versions(layout):
        names = sorted(entry.name for entry in (folder / str(version)).iterdir())
        if not layout.backend:
            default_backend = next((backend for backend, file in DEFAULT_FILES.items() if file and file in names), "")
            if not default_backend:
                layout.problems.append(_no_backend(version, names))
                continue
            layout.backend = default_backend
        _check_file(layout, version, names)


def _no_backend(version: int, names: list[str]) -> str:
    if not names:
        return f"The version folder {version} is empty: put the model file into it."
    return (
        f"The version folder {version} holds {_shown(names)}, which tells no backend: name the file as Triton expects "
        'it (as model.onnx), or write backend: "…" into config.pbtxt.'
    )


def _check_file(layout: Layout, version: int, names: list[str]) -> None:
    configured = str(layout.config.default_model_filename) if layout.config is not None else ""
    file = configured or DEFAULT_FILES.get(layout.backend, "")
    if "/" in file or not config_fields.is_inside(file):
        problem = f"default_model_filename {file!r} leads out of the version folder: name a file in it."
        layout.problems += [problem] if problem not in layout.problems else []
    elif not names:
        layout.problems.append(f"The version folder {version} is empty: put {file or 'the model file'} into it.")
    elif file and file not in names:
        ending = Path(file).suffix
        alike = [name for name in names if ending and name.endswith(ending)]
        hint = (
            f'name {alike[0]} so, or write default_model_filename: "{alike[0]}"'
            if alike
            else (f"the folder holds {_shown(names)}")
        )
        layout.problems.append(f"{version}/{file} is missing, which the backend {layout.backend} loads: {hint}.")
    elif file:
        _check_content(layout, version, file)
        if layout.backend == "python":
            problem = windows_text.problem_for_python(layout.folder / layout.model_file, layout.model_file)
            layout.problems += [problem] if problem else []


def _check_content(layout: Layout, version: int, file: str) -> None:
    path = f"{version}/{file}"
    if layout.backend == "onnxruntime":
        layout.problems += missing_for_onnx(layout.config, layout.folder / str(version), file)
        path = graph_of(layout.folder, path)
    if (layout.folder / path).exists():
        layout.other_files += [layout.model_file] if layout.model_file else []
        layout.model_file = path


def wanted_versions(layout: Layout) -> tuple[int, ...]:
    """What the version policy loads; of very many the highest ones."""
    return versions.loaded(layout.config, layout.versions)[-MOST_VERSIONS:]


def model_files(layout: Layout) -> tuple[str, ...]:
    """Those of `model_files_of` that are there."""
    name = str(layout.config.default_model_filename) if layout.config is not None else ""
    paths = model_files_of(layout.config, name or DEFAULT_FILES.get(layout.backend, ""), wanted_versions(layout))
    return tuple(path for path in paths if (layout.folder / path).exists())


def model_files_of(config: Any, file: str, numbers: Sequence[int]) -> tuple[str, ...]:
    """Paths that the backend loads as the model, one in each version folder: the last version's first.

    `file`: what it is called there. A compute capability may have a file of its own.
    """
    names = (file, *map(str, config.cc_model_filenames.values())) if config is not None else (file,)
    paths = (f"{version}/{name}" for name in names if name for version in reversed(numbers))
    return tuple(dict.fromkeys(paths))


def _shown(names: list[str]) -> str:
    return ", ".join(names[:MOST_SHOWN]) + (", …" if len(names) > MOST_SHOWN else "")
