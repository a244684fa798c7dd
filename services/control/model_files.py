"""Getting the model files of a revision into the store, and finding out whether they can be served."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.conf import settings

from console.accounts.principal import SYSTEM
from console.errors import ConsoleError
from datasets import states as rounds
from datasets import wiring as datasets_wiring
from datasets.actions import trust
from datasets.actions.rounds import request_round
from datasets.inspect.report import Executable
from datasets.models import Round, Trust
from datasets.queries import progress
from datasets.specs import Tree
from services import wiring
from services.control import code_trust
from services.errors import ModelError
from services.models import Revision
from services.specs import ModelDescription

SEQUENCES: Final = "sequences"
"""In Revision.described: whether requests of one sequence must meet the same replica."""
CLASSES: Final = "classes"
"""In Revision.described: names of the outputs that callers may ask the classes of."""
MODELS: Final = "models"
"""In Revision.described: the models of a repository, as ModelDescription has them."""


@dataclass(frozen=True)
class Files:
    """`failed`: waiting longer is of no use. `message` says what is being waited for, or what is wrong."""

    ready: bool = False
    failed: bool = False
    message: str = ""


def ready(revision: Revision) -> Files:
    """One look at the revision's files; asks for a preheat when there was none.

    Sets `revision.tree` and `revision.location` once they can be served.
    """
    if (kept := _kept(revision)) is not None:
        # Rolled back to files that are still there; or started again, and perhaps not trusted any longer.
        describe_again(revision)
        refused = _refused_kept(revision, kept)
        return Files(ready=not refused, failed=bool(refused), message=refused)
    try:
        job = _round_of(revision)
    except ConsoleError as error:
        return Files(failed=True, message=str(error))
    if job is None:
        dataset = revision.spec["dataset"]
        return Files(failed=True, message=f"Dataset {dataset} is gone. Edit the service to use another one.")
    if job.state in {rounds.FAILED, rounds.CANCELLED}:
        where = f"{job.dataset.name}/{job.path}".rstrip("/")
        return Files(failed=True, message=f"Preheating {where} ended: {job.message or job.state.lower()}")
    tree = datasets_wiring.tree(job.tree) if job.state == rounds.DONE else None
    if tree is None:
        return Files(message=str(progress.progress(job)["sentence"]))
    description = _describe(revision, tree.path)
    if description.problems:
        return Files(failed=True, message=" ".join(description.problems))
    revision.tree, revision.location = job.tree, job.location
    if refused := _refused(revision, description.executable):
        revision.tree = revision.location = ""
        return Files(failed=True, message=refused)
    revision.save(update_fields=["tree", "location"])
    return Files(ready=True)


def describe_again(revision: Revision | None) -> None:
    """What an earlier release did not ask of the files."""
    if revision is None or {SEQUENCES, CLASSES, MODELS} <= {*(revision.described or {})}:
        return
    if (kept := datasets_wiring.tree(revision.tree)) and (description := _describe(revision, kept.path)).problems:
        # Asked once: each look asks for this, and what is in the store does not change.
        revision.described = {**(revision.described or {}), SEQUENCES: description.sequences, CLASSES: [], MODELS: []}
        revision.save(update_fields=["described"])


def has_sequences(revision: Revision) -> bool:
    return bool((revision.described or {}).get(SEQUENCES))


def _kept(revision: Revision) -> Tree | None:
    """The copy that the revision has. One whose origin is not known (of an earlier release) is prepared again."""
    return datasets_wiring.tree(revision.tree) if revision.location else None


def _describe(revision: Revision, tree: Path) -> ModelDescription:
    """What the files say. When they can be served, what the gateway must know of them is kept.

    Kept, because the gateway is told of every service each time that anything changes, and files are slow.
    """
    spec = revision.parsed()
    description = wiring.framework(spec.framework).describe(tree, spec.framework_config, revision.service.name)
    if not description.problems:
        revision.described = {
            "task": description.task,
            "max_model_len": description.max_model_len,
            SEQUENCES: description.sequences,
            CLASSES: [*description.classes],
            MODELS: [asdict(model) for model in description.models],
        }
        revision.save(update_fields=["described"])
    return description


def refused(revision: Revision, *, again: bool) -> str:
    """Why its files, if they are on this node already, may not be run; "" when they may, or are not.

    `again`: those whose origin is not known are prepared again before they run.
    """
    kept = _kept(revision) if again else datasets_wiring.tree(revision.tree)
    return _refused_kept(revision, kept) if kept is not None else ""


def trust_in(revision: Revision) -> Trust | None:
    """What covers the files of a revision that was ready. Asks the database only."""
    return trust.trust_in(revision.dataset, revision.location)


def withdrawn(revision: Revision) -> str:
    """Why no process of a revision that was ready may be started any longer: trust was taken back meanwhile."""
    if trust_in(revision) is not None:
        return ""
    return refused(revision, again=False)


def _refused(revision: Revision, executables: Sequence[Executable]) -> str:
    """Why what runs in the tree of the revision may not."""
    spec = revision.parsed()
    framework = wiring.framework(spec.framework)
    unlisted = framework.unlisted_env(spec.env)
    executables = [*executables, *(Executable(f"env.{name}", "setting", why) for name, why in unlisted.items())]
    return code_trust.forbidden(
        revision, executables, framework.needs_administrator(spec.framework_config)
    ) or code_trust.refusal(code_trust.origin_of(revision), executables)


def _refused_kept(revision: Revision, kept: Tree) -> str:
    spec = revision.parsed()
    try:
        config, name = json.dumps(spec.framework_config), revision.service.name
        executables = _code(kept.digest, str(kept.path), spec.framework, config, name)
    except ModelError as error:  # what cannot be read may hold code
        return str(error)
    return _refused(revision, executables)


@lru_cache(maxsize=128)
def _code(digest: str, path: str, framework: str, config: str, service: str) -> tuple[Executable, ...]:
    """Read once: what a digest names never changes, and a rollout asks every two seconds. Raises ModelError."""
    description = wiring.framework(framework).describe(Path(path), json.loads(config), service)
    if description.problems:
        raise ModelError(" ".join(description.problems))
    return description.executable


def _round_of(revision: Revision) -> Round | None:
    """The round that prepares this revision; a new one when there was none, or when its files were evicted since.

    Also when the round belongs to another node, or to a former name of this one: no worker here would run it.
    """
    job = revision.round
    gone = job is not None and job.state == rounds.DONE and (not job.location or datasets_wiring.tree(job.tree) is None)
    elsewhere = job is not None and job.node != settings.NODE_NAME and job.state in rounds.ACTIVE
    if job is not None and not gone and not elsewhere:
        return job
    if revision.dataset is None:
        return None
    revision.round = request_round(revision.dataset, revision.spec["model_path"], actor=SYSTEM)
    revision.save(update_fields=["round"])
    return revision.round
