"""Getting the model files of a revision into the store, and finding out whether they can be served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from console.errors import ConsoleError
from console.principal import SYSTEM
from datasets import actions as datasets
from datasets import reading
from datasets import states as rounds
from datasets.models import Dataset, Round
from services.actions import wiring
from services.actions.code import refusal
from services.models import Revision
from services.specs import ModelDescription


@dataclass(frozen=True)
class Files:
    """`failed`: waiting longer is of no use. `message` says what is being waited for, or what is wrong."""

    ready: bool = False
    failed: bool = False
    message: str = ""


def ready(revision: Revision) -> Files:
    """One look at the revision's files; asks for a preheat when there was none.

    Sets `revision.tree` once they can be served.
    """
    if revision.tree and (kept := reading.tree(revision.tree)):
        if revision.described is not None and _trusted(revision):
            return Files(ready=True)
        # Rolled back to files that are still there; or started again, and perhaps not trusted any more.
        refused = refusal(_dataset(revision), _describe(revision, kept.path).executable, copied=True)
        return Files(ready=not refused, failed=bool(refused), message=refused)
    try:
        round_ = _round_of(revision)
    except ConsoleError as error:
        return Files(failed=True, message=str(error))
    if round_ is None:
        dataset = revision.spec["dataset"]
        return Files(failed=True, message=f"Dataset {dataset} is gone. Edit the service to use another one.")
    if round_.state in {rounds.FAILED, rounds.CANCELLED}:
        where = f"{round_.dataset.name}/{round_.path}".rstrip("/")
        return Files(failed=True, message=f"Preheating {where} ended: {round_.message or round_.state.lower()}")
    tree = reading.tree(round_.tree) if round_.state == rounds.DONE else None
    if tree is None:
        return Files(message=str(reading.progress(round_)["sentence"]))
    found = _describe(revision, tree.path)
    if found.problems:
        return Files(failed=True, message=" ".join(found.problems))
    if code := refusal(_dataset(revision), found.executable, copied=True):
        return Files(failed=True, message=code)
    revision.tree = round_.tree
    revision.save(update_fields=["tree"])
    return Files(ready=True)


def _describe(revision: Revision, tree: Path) -> ModelDescription:
    """What the files say. When they can be served, what the gateway must know of them is kept.

    Kept, because the gateway is told of every service each time that anything changes, and files are slow.
    """
    spec = revision.parsed()
    found = wiring.framework(spec.framework).describe(tree, spec.framework_config)
    if not found.problems:
        revision.described = {"task": found.task, "max_model_len": found.max_model_len}
        revision.save(update_fields=["described"])
    return found


def refused(revision: Revision) -> str:
    """Why its files, if they are on this node already, may not be run; "" when they may, or are not."""
    kept = reading.tree(revision.tree)
    if kept is None or _trusted(revision):
        return ""
    spec = revision.parsed()
    found = wiring.framework(spec.framework).describe(kept.path, spec.framework_config)
    return refusal(_dataset(revision), found.executable, copied=True)


def _trusted(revision: Revision) -> bool:
    dataset = _dataset(revision)
    return dataset is not None and dataset.trusted


def _dataset(revision: Revision) -> Dataset | None:
    found: Dataset | None = (
        Dataset.objects.filter(name=revision.spec["dataset"], team=revision.service.team).select_related("team").first()
    )
    return found


def _round_of(revision: Revision) -> Round | None:
    """The round that prepares this revision; a new one when there was none, or when its files were evicted since."""
    round_ = revision.round
    if round_ is not None and not (round_.state == rounds.DONE and reading.tree(round_.tree) is None):
        return round_
    dataset = _dataset(revision)
    if dataset is None:
        return None
    revision.round = datasets.request_round(dataset, revision.spec["model_path"], actor=SYSTEM)
    revision.save(update_fields=["round"])
    return revision.round
