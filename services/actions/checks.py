"""What must hold before a service is made or changed, and needs the database or the files to be decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings

from console.accounts.principal import Principal
from console.errors import ConsoleError, InvalidFields, collected
from console.models import Team
from datasets.models import Dataset
from datasets.queries.peek import Peeks
from services import wiring
from services.control.code_trust import Origin, refusal
from services.frameworks.variables import leads_to
from services.models import Node, Queue, Service
from services.parsing import parse_name, parse_replicas, parse_spec
from services.policies import admission, placement
from services.specs import ModelDescription, ServiceSpec

TAKEN = "There is already a service named {name}. Choose another name."


def parse_all(data: Mapping[str, Any]) -> tuple[str, int, ServiceSpec]:
    """Name, replicas and spec; raises InvalidFields with what is wrong in all three."""
    errors: dict[str, list[str]] = {}
    name, replicas, spec = "", 1, None
    with collected(errors):
        name = parse_name(data.get("name"))
    with collected(errors):
        replicas = parse_replicas(data.get("replicas", 1))
    with collected(errors):
        spec = parse_spec(data)
    if errors or spec is None:
        raise InvalidFields(errors)
    return name, replicas, spec


def check_name(name: str) -> None:
    """Raises InvalidFields when it is no DNS label or not free: what the form asks while one types."""
    parse_name(name)
    if Service.objects.filter(name=name).exists():
        raise InvalidFields({"name": TAKEN.format(name=name)})


def check_new(
    name: str, replicas: int, spec: ServiceSpec, *, team: Team, actor: Principal, peeks: Peeks | None = None
) -> None:
    errors: dict[str, list[str]] = {}
    with collected(errors):
        check_name(name)
    with collected(errors):
        check_spec(spec, replicas, name=name, team=team, actor=actor, peeks=peeks)
    if errors:
        raise InvalidFields(errors)


def check_spec(
    spec: ServiceSpec,
    replicas: int,
    *,
    name: str,
    team: Team,
    actor: Principal,
    room: bool = True,
    node: bool = False,
    peeks: Peeks | None = None,
) -> None:
    """Framework installed, dataset and path there and servable, limits that can hold, and what `check_room` checks.

    `name`: of the service; `peeks`: where the caller goes on reading what was read here.

    Raises InvalidFields.
    """
    errors = _refused(spec, actor)
    missing = wiring.framework(spec.framework).missing(wiring.runtime(spec.framework))
    if missing:
        errors["framework"] = [missing]
    with collected(errors):
        check_room(spec, replicas, room=room, node=node)
    dataset = Dataset.objects.visible_to(actor).filter(name=spec.dataset, team=team).first()
    if dataset is None:
        errors["dataset"] = [
            f"Team {team.name} has no dataset named {spec.dataset}. Create it first, or choose another."
        ]
    else:
        errors.update(_unlisted(dataset, spec))
        if not missing:
            errors.update(_model_problems(dataset, spec, name, peeks))
    if errors:
        raise InvalidFields(errors)


def check_permitted(spec: ServiceSpec, *, actor: Principal) -> None:
    """What a spec asks for that this actor, or this gateway, does not give. Raises InvalidFields."""
    if errors := _refused(spec, actor):
        raise InvalidFields(errors)


def _refused(spec: ServiceSpec, actor: Principal) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    most, payload_mib = settings.MAX_PAYLOAD_BYTES >> 20, spec.limits.max_payload_mib
    if payload_mib is not None and payload_mib > most:
        message = f"The gateway takes at most {most} MiB. An administrator can raise that with MAX_PAYLOAD_MIB."
        errors["limits.max_payload_mib"] = [message]
    framework = wiring.framework(spec.framework)
    for name in framework.unlisted_env(spec.env):
        if leads_to(spec.env[name], _foreign()):
            errors[f"env.{name}"] = ["Must not point outside the model folder."]
    reasons = framework.needs_administrator(spec.framework_config)
    if reasons and not actor.is_admin:
        errors["framework_config"] = reasons
    return errors


def _foreign() -> list[str]:
    """Folders that hold files of other models, or of the console: trust in one dataset is not trust in them."""
    roots = (settings.HOME.root, *settings.DATASET_ROOTS, Path("/proc"), Path("/dev/fd"))
    return [str(path) for root in roots for path in (root, Path(root).resolve())]


def _unlisted(dataset: Dataset, spec: ServiceSpec) -> dict[str, list[str]]:
    """Variables that only a trusted dataset may have."""
    if dataset.trusted:
        return {}
    unlisted = wiring.framework(spec.framework).unlisted_env(spec.env)
    return {f"env.{name}": [why] for name, why in unlisted.items()}


def _model_problems(dataset: Dataset, spec: ServiceSpec, name: str, peeks: Peeks | None) -> dict[str, list[str]]:
    try:
        description = describe(dataset, spec.model_path, spec.framework, spec.framework_config, name, peeks=peeks)
    except InvalidFields as error:
        return error.errors
    except ConsoleError as error:
        return {"model_path": [str(error)]}
    if description is None:
        return {}
    refused = refusal(Origin(dataset, dataset.location, spec.model_path), description.executable)
    problems = [*description.problems, *([refused] if refused else [])]
    return {"model_path": problems} if problems else {}


def describe(
    dataset: Dataset,
    path: str,
    framework: str,
    config: Mapping[str, Any],
    service: str = "",
    *,
    peeks: Peeks | None = None,
) -> ModelDescription | None:
    """What the model files say, read through their source; None when they are too large to be looked at beforehand.

    Raises SourceError when the path is not there or leads outside.
    """
    with Peeks.shared(peeks) as opened:
        look = opened.at(dataset, path)
        if look.folder is None:
            return None
        description = wiring.framework(framework).describe(look.folder, config, service)
    if not description.problems:
        lacking = wiring.framework(framework).lacks(description, wiring.runtime(framework))
        description = replace(description, problems=tuple(lacking))
    if not look.left_out:
        return description
    # A problem may come from what is left out: the model file itself may be a link to nowhere.
    problems = (*description.problems, look.left_out) if description.problems else ()
    return replace(description, problems=problems, notes=(*description.notes, look.left_out))


def is_placed_anew(before: tuple[ServiceSpec, int], after: tuple[ServiceSpec, int]) -> bool:
    """Does it ask for another place or for more than before, so that this may be refused?"""
    (old, count), (new, replicas) = before, after
    return (old.queue, old.resources, old.affinity.required) != (
        new.queue,
        new.resources,
        new.affinity.required,
    ) or replicas > count


def check_room(spec: ServiceSpec, replicas: int, *, room: bool = True, node: bool = False) -> None:
    """Raises InvalidFields when `replicas` of it can never run: the queue is gone or too small (with `room`), or no
    node could hold them (with `node`), even if nothing else ran."""
    queue = find_queue(spec.queue)
    if room and (impossible := admission.never_fits(spec.resources.times(replicas), queue.quota, queue.name)):
        raise InvalidFields({"resources": impossible})
    nodes = [row.info() for row in Node.objects.all()] if node else []
    field, impossible = placement.never_fits(spec.resources, spec.affinity, nodes, replicas)
    if impossible:
        raise InvalidFields({field: impossible})


def find_queue(name: str, *, lock: bool = False) -> Queue:
    """Raises InvalidFields for one that is not there.

    `lock`: nobody deletes it until the transaction ends. Lock it before the service, as claims do.
    """
    rows = Queue.objects.select_for_update() if lock else Queue.objects.all()
    queue: Queue | None = rows.filter(name=name).first()
    if queue is None:
        names = ", ".join(Queue.objects.values_list("name", flat=True)) or "none yet: an administrator makes one"
        raise InvalidFields({"queue": f"There is no queue named {name}. Queues: {names}."})
    return queue
