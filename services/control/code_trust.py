"""Whether a service may run what its model files and its settings bring: only with an owner's trust, and sometimes an
administrator's permission. Both are bound to what they were given for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from console.accounts.principal import Principal
from datasets.actions import trust
from datasets.inspect.report import Executable
from datasets.models import Dataset
from services.models import Revision

SHOWN: Final = 3
LOOK: Final = "Review these files; if you trust them, ask an owner of team {team} to trust dataset {dataset}."


@dataclass(frozen=True)
class Origin:
    """Where model files come from. `tree`: their copy in the store, "" before there is one."""

    dataset: Dataset | None
    location: str
    path: str
    tree: str = ""


def origin_of(revision: Revision) -> Origin:
    return Origin(revision.dataset, revision.location, revision.spec["model_path"], revision.tree)


def running(executables: Sequence[Executable], *, copied: bool) -> list[Executable]:
    """What would run. Before the files are copied, those not looked into are left for then."""
    return [one for one in executables if one.runs and (one.seen or copied)]


def files_of(executables: Sequence[Executable]) -> list[str]:
    return [name for one in executables for name in (one.path, *one.others)]


def refusal(origin: Origin, executables: Sequence[Executable]) -> str:
    """Why a service that runs this is not started, and what to do; "" when it may be."""
    runs = running(executables, copied=bool(origin.tree))
    if not runs:
        return ""
    dataset, shown = origin.dataset, _shown([f"{one.path}: {one.said}" for one in runs])
    only_settings = all(one.kind == "setting" for one in runs)
    what = "The service has settings that can load code" if only_settings else "The model files hold code"
    if dataset is None:
        return f"{what}, and their dataset, which could be trusted, is gone. {shown}"
    todo = LOOK.format(team=dataset.team.name, dataset=dataset.name)
    given = trust.trust_in(dataset, origin.location)
    if given is None and origin.location == dataset.location:
        return f"{what}, and dataset {dataset.name} is not trusted. {shown} {todo}"
    if given is None:
        where = (
            f"were copied from a location that is not trusted: dataset {dataset.name} points elsewhere now"
            if origin.location
            else "were copied by an earlier release, which did not record from where"
        )
        return (
            f"{what}, and {where}. {shown} Restart the service to copy the files from the present "
            "location of the dataset."
        )
    strange = trust.untrusted_files(given, origin.path, origin.tree, files_of(runs)) if origin.tree else []
    if not strange:
        return ""
    was = "was" if len(strange) == 1 else "were"
    return (
        f"Code in dataset {dataset.name} is not what its owner trusted: {_shown(strange, ', ')} {was} changed or "
        f"added after trust was given. {todo} The owner may also choose to trust later changes."
    )


def permission(actor: Principal, location: str) -> dict[str, object]:
    """An administrator's word for what a revision does with files from `location`; the copy adds its code."""
    return {"by": actor.label, "location": location, "code": None}


def forbidden(revision: Revision, executables: Sequence[Executable], reasons: Sequence[str]) -> str:
    """Why an administrator must act first; "" when one allowed what `reasons` name for these very files.

    Completes the permission with the code of the first copy.
    """
    if not reasons:
        return ""
    given, names = revision.permission, {*files_of(running(executables, copied=True))}
    if given is None:
        return " ".join(reasons)
    files = trust.files_of("", revision.tree)
    code = {name: files[name] for name in sorted(names & files.keys())}
    before = code if given["code"] is None else given["code"]
    changed = sorted(name for name in {*code, *before} if code.get(name) != before.get(name))
    if changed or given["location"] not in {"", revision.location}:
        what = f"{_shown(changed, ', ')} changed since" if changed else "the files come from another location"
        return (
            f"{given['by']} allowed trust_remote_code for other files: {what}. An administrator looks at them and "
            "edits or restarts the service to allow it again."
        )
    if given["code"] is None:
        revision.permission = {**given, "location": revision.location, "code": code}
        revision.save(update_fields=["permission"])
    return ""


def _shown(lines: Sequence[str], between: str = " ") -> str:
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return between.join(lines[:SHOWN]) + more
