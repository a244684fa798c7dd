"""Studies all models that a service loads: the one that callers call, and those that it calls.

Triton gets the first under the name of the service, and the others under the names of their folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from datasets.inspect import executable
from datasets.inspect.budget import Budget
from datasets.inspect.errors import TooMuch
from datasets.inspect.listing import files_below
from datasets.inspect.report import Executable
from datasets.inspect.triton import ensembles, summary
from datasets.inspect.triton import layout as layouts
from datasets.inspect.triton import repository as rules
from datasets.inspect.triton.ensembles import Member, is_ensemble, steps_of
from services.errors import ModelError
from services.frameworks.triton import config as configs
from services.frameworks.triton import study as studies
from services.frameworks.triton.inspection import Inspection, versions_of
from services.frameworks.triton.links import links

NAME: Final = "model"
"""Name of the main model while there is no service."""
PROGRAMMING: Final = ("python", "backend")
"""Kinds of code that can load any other file of the folder."""


@dataclass
class Repository:
    """`main` is called from outside, `others` only from inside. Both are ready to be written without `problems`."""

    main: Inspection = field(default_factory=Inspection)
    others: list[Inspection] = field(default_factory=list)
    files: tuple[tuple[str, str], ...] = ()
    """Files beside the models, as in links.py."""
    executable: tuple[Executable, ...] = ()
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def models(self) -> tuple[Inspection, ...]:
        return (self.main, *self.others)

    @property
    def members(self) -> dict[str, Member]:
        """The models as ensembles see them, by their folders."""
        return {
            one.folder: Member(one.config, configs.backend(one.config) if one.config else "", versions_of(one))
            for one in self.models
        }


def study(tree: Path, options: Mapping[str, Any], service: str = "") -> Repository:
    """`service` is "" while nobody has named it. Never raises for bad files: what is wrong is in `problems`."""
    try:
        layout = layouts.find(tree)
        if layout.kind != layouts.REPOSITORY:
            return _single(tree, options, service)
        return _several(tree, layout, options, service)
    except ModelError as error:
        return Repository(problems=[str(error)])
    except TooMuch as error:
        return Repository(problems=[f"The folder cannot be looked through: {error}."])
    except OSError as error:
        return Repository(problems=[f"The model files cannot be read: {error.strerror or error}."])


def _single(tree: Path, options: Mapping[str, Any], service: str) -> Repository:
    if options.get("model"):
        raise ModelError("These files are one model: leave the option model empty.")
    main = studies.study(tree, options, service or NAME)
    return Repository(main, executable=main.executable, problems=main.problems, notes=main.notes)


def _several(tree: Path, layout: layouts.Layout, options: Mapping[str, Any], service: str) -> Repository:
    if len(layout.models) > rules.MOST_MODELS:
        raise ModelError(rules.TOO_MANY)
    members = rules.read(tree, layout.models, Budget())
    chosen, why = rules.choose(members, options.get("model", ""))
    if why:
        raise ModelError(why)
    own = {name: value for name, value in options.items() if name != "model"}
    if backend := options.get("backend"):  # may make it code, which may call any model
        members[chosen] = replace(members[chosen], backend=backend)
    names = rules.loaded(chosen, members)
    repository = Repository(studies.study(tree / chosen, own, service or NAME, chosen))
    repository.others = [studies.study(tree / name, {}, name, name) for name in names[1:]]
    repository.files = tuple(entry for entry in links(layout) if entry[0] != repository.main.name)
    repository.problems += [*_name_problems(repository, service), *_problems(repository)]
    repository.notes += _notes(repository, layout)
    repository.executable = _code_of(repository, tree)
    _rename_main(repository)
    return repository


def _name_problems(repository: Repository, service: str) -> Iterator[str]:
    for one in repository.others:
        if problem := rules.name_problem(one.folder):
            yield problem
        elif one.name == service:
            yield (
                f"The model {one.folder} is loaded under its own name, which is that of the service: give the service "
                "another name, or rename the folder."
            )


def _problems(repository: Repository) -> Iterator[str]:
    members = repository.members
    for one in repository.models:
        sentences = list(one.problems)
        if one.config is not None and is_ensemble(one.config):
            sentences += ensembles.problems(one.config, members, one.folder)
        yield from (f"{one.folder}: {problem}" for problem in dict.fromkeys(sentences))


def _notes(repository: Repository, layout: layouts.Layout) -> Iterator[str]:
    for one in repository.models:
        yield from (f"{one.folder}: {note}" for note in one.notes)
    loaded = {one.folder for one in repository.models}
    if left := [name for name in layout.models if name not in loaded]:
        yield f"Not loaded, because nothing here calls it: {', '.join(left)}."


def _code_of(repository: Repository, tree: Path) -> tuple[Executable, ...]:
    """Code of all models that are loaded, and what of the other files one of them can load."""
    code_by_path = {code.path: code for one in repository.models for code in _code_of_model(one)}
    budget = Budget()
    programming = {path.partition("/")[0] for path, code in code_by_path.items() if code.kind in PROGRAMMING}
    covered = tuple(f"{folder}/" for folder in programming)
    files = [file for file in files_below(tree, budget) if not file.startswith(covered)]
    loads = executable.EVERYTHING if programming else frozenset(executable.LIBRARIES)
    for code in executable.find(tree, files, loads, budget):
        if code.path not in code_by_path or code.runs:
            code_by_path[code.path] = code
    programs = [file for file in files if file.endswith(executable.PROGRAMS) and file not in code_by_path]
    if programming and programs:
        code_by_path[programs[0]] = summary.python_program(programs[0], programs[1:])
    return tuple(code_by_path.values())


def _code_of_model(one: Inspection) -> Iterator[Executable]:
    for code in one.executable:
        others = tuple(f"{one.folder}/{other}" for other in code.others)
        yield replace(code, path=f"{one.folder}/{code.path}", others=others)


def _rename_main(repository: Repository) -> None:
    """Ensembles that have the main model as a step find it under the name of the service."""
    for one in repository.others:
        if one.config is not None and repository.main.folder in steps_of(one.config):
            for step in one.config.ensemble_scheduling.step:
                if step.model_name == repository.main.folder:
                    step.model_name = repository.main.name
