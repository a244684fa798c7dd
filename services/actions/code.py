"""Whether a service may run the executable content of its model files: only when the team trusts their dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from datasets.inspect.report import Executable
from datasets.models import Dataset

SHOWN: Final = 3
WHAT_TO_DO: Final = (
    "Look at these files; if you trust them, an owner of team {team} says so on the page of dataset {dataset}."
)


def refusal(dataset: Dataset | None, found: Sequence[Executable], *, copied: bool) -> str:
    """Why a service with this content is not started, and what to do; "" when it may be.

    `copied`: of the files on this node. Before that, what could not be looked into is left for then.
    """
    runs = [one for one in found if one.runs and (one.seen or copied)]
    if not runs or (dataset is not None and dataset.trusted):
        return ""
    shown = " ".join(f"{one.path}: {one.said}" for one in runs[:SHOWN])
    more = f" And {len(runs) - SHOWN} more." if len(runs) > SHOWN else ""
    if dataset is None:
        return f"The model files hold code, and their dataset, which could be trusted, is gone. {shown}{more}"
    todo = WHAT_TO_DO.format(team=dataset.team.name, dataset=dataset.name)
    return f"The model files hold code, and dataset {dataset.name} is not trusted. {shown}{more} {todo}"
