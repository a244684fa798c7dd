"""Studies all models that a service loads: the one that callers call, and those that it calls.

Triton gets the first under the name of the service, and the others under the names of their folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from datasets.inspect import ensembles, executable, said_of_triton
from datasets.inspect import repository as rules
from datasets.inspect.budget import Budget
from datasets.inspect.ensembles import Member, is_ensemble, steps_of
from datasets.inspect.errors import TooMuch
from datasets.inspect.listing import files_below
from datasets.inspect.report import Executable
from services.errors import ModelError
from services.frameworks.triton import config as configs
from services.frameworks.triton import layout as layouts
from services.frameworks.triton import study as studies
from services.frameworks.triton.study import Study

NAME: Final = "model"
"""Of the model that callers call, where no service is known yet."""
PROGRAMMING: Final = ("python", "backend")
"""Kinds of code that can load any other file of the folder."""


@dataclass
class Repository:
    """`main` is called from outside, `others` only from inside. Both are ready to be written without `problems`."""

    main: Study = field(default_factory=Study)
    others: list[Study] = field(default_factory=list)
    files: tuple[tuple[str, str], ...] = ()
    """Files beside the models, as in Layout.entries."""
    executable: tuple[Executable, ...] = ()
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def models(self) -> tuple[Study, ...]:
        return (self.main, *self.others)

    @property
    def members(self) -> dict[str, Member]:
        """The models as ensembles see them, by their folders."""
        return {
            one.folder: Member(one.config, configs.backend(one.config) if one.config else "", studies.versions_of(one))
            for one in self.models
        }


def study(tree: Path, options: Mapping[str, Any], service: str = "") -> Repository:
    """`service` is "" while nobody has named it. Never raises for bad files: what is wrong is in `problems`."""
    try:
        layout = layouts.read(tree)
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
    members = rules.read(tree, layout.models, Budget())
    chosen, why = rules.choose(members, options.get("model", ""))
    if why:
        raise ModelError(why)
    own = {name: value for name, value in options.items() if name != "model"}
    names = rules.loaded(chosen, members)
    made = Repository(studies.study(tree / chosen, own, service or NAME, chosen))
    made.others = [studies.study(tree / name, {}, name, name) for name in names[1:]]
    made.files = tuple(entry for entry in layout.entries if entry[0] != made.main.name)
    made.problems += [*_name_problems(made, service), *_problems(made)]
    made.notes += _notes(made, layout)
    made.executable = _code_of(made, tree)
    _rename_main(made)
    return made


def _name_problems(made: Repository, service: str) -> Iterator[str]:
    for one in made.others:
        if problem := rules.name_problem(one.folder):
            yield problem
        elif one.name == service:
            yield (
                f"The model {one.folder} is loaded under its own name, which is that of the service: give the service "
                "another name, or rename the folder."
            )


def _problems(made: Repository) -> Iterator[str]:
    members = made.members
    for one in made.models:
        found = list(one.problems)
        if one.config is not None and is_ensemble(one.config):
            found += ensembles.problems(one.config, members, one.folder)
        yield from (f"{one.folder}: {problem}" for problem in dict.fromkeys(found))


def _notes(made: Repository, layout: layouts.Layout) -> Iterator[str]:
    for one in made.models:
        yield from (f"{one.folder}: {note}" for note in one.notes)
    loaded = {one.folder for one in made.models}
    if left := [name for name in layout.models if name not in loaded]:
        yield f"Not loaded, because nothing here calls it: {', '.join(left)}."


def _code_of(made: Repository, tree: Path) -> tuple[Executable, ...]:
    """Code of all models that are loaded, and what of the other files one of them can load."""
    found = {code.path: code for one in made.models for code in _code_of_model(one)}
    budget = Budget()
    programming = {path.partition("/")[0] for path, code in found.items() if code.kind in PROGRAMMING}
    covered = tuple(f"{folder}/" for folder in programming)
    files = [file for file in files_below(tree, budget) if not file.startswith(covered)]
    loads = executable.EVERYTHING if programming else frozenset(executable.LIBRARIES)
    for code in executable.find(tree, files, loads, budget):
        if code.path not in found or code.runs:
            found[code.path] = code
    programs = [file for file in files if file.endswith(executable.PROGRAMS) and file not in found]
    if programming and programs:
        found[programs[0]] = said_of_triton.python_program(programs[0], programs[1:])
    return tuple(found.values())


def _code_of_model(one: Study) -> Iterator[Executable]:
    for code in one.executable:
        others = tuple(f"{one.folder}/{other}" for other in code.others)
        yield replace(code, path=f"{one.folder}/{code.path}", others=others)


def _rename_main(made: Repository) -> None:
    """Ensembles that have the main model as a step find it under the name of the service."""
    for one in made.others:
        if one.config is not None and made.main.folder in steps_of(one.config):
            for step in one.config.ensemble_scheduling.step:
                if step.model_name == made.main.folder:
                    step.model_name = made.main.name
