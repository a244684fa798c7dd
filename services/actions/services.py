"""What people can do with a service. Each verb writes what is wanted; services/control/reconcile.py makes it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from console import roles
from console.accounts import bounds
from console.accounts.principal import Principal
from console.errors import Conflict, InvalidFields, NotFound
from console.models import Team
from datasets import states as rounds
from datasets import wiring
from datasets.queries.peek import Peeks
from services import dispatch, states
from services.actions import checks
from services.control import model_files, rollout
from services.control.revisions import add_revision, carrier_of, carry_on, goes_on
from services.control.transitions import log, move
from services.models import Revision, Service
from services.models.services import DELETED, RUNNING, STOPPED
from services.parsing import parse_replicas, parse_spec, parse_strategy
from services.specs import RECREATE, ROLLING, ServiceSpec

CHANGED = "{name} was changed meanwhile."


def create(data: Mapping[str, Any], *, team: Team, actor: Principal, peeks: Peeks | None = None) -> Service:
    """Create a service from the JSON of the REST API (ServiceSpec in specs.py). It starts to preheat at once.

    Raises InvalidFields naming every wrong field; then nothing was made.
    """
    actor.require(team, roles.EDITOR)
    name, replicas, spec = checks.parse_all(data)
    checks.check_new(name, replicas, spec, team=team, actor=actor, peeks=peeks)
    try:
        with transaction.atomic():
            checks.find_queue(spec.queue, lock=True)
            bounds.require_room(team, bounds.SERVICES, Service.objects.filter(team=team), actor=actor)
            service = Service.objects.create(
                team=team,
                name=name,
                replicas=replicas,
                state_since=timezone.now(),
                created_by=actor.label,
                message="Created; model files are being looked at.",
            )
            add_revision(service, spec, actor=actor)
            log(service, "created", f"Created by {actor.label}.", actor=actor, new=states.PREHEATING)
            dispatch.reconcile(service.pk)
            dispatch.publish()
    except IntegrityError:
        raise InvalidFields({"name": checks.TAKEN.format(name=name)}) from None
    return service


def edit(
    service: Service,
    changes: Mapping[str, Any],
    *,
    actor: Principal,
    base: int | None = None,
    peeks: Peeks | None = None,
) -> Service:
    """Replace the named fields (resources, auth, cors, limits merged). Anything but `replicas` makes a new revision.

    A serving service goes on serving its present revision until the new one answers; `strategy` says what happens
    where both do not fit at once (see Revision.strategy). `base`: the number of the revision that the
    changes were made from; Conflict when it is no longer the one that should run.
    """
    actor.require(service.team, roles.EDITOR)
    if base is not None and service.target_revision.number != base:
        newer = service.target_revision
        raise Conflict(
            f"{newer.created_by} saved revision {newer.number} after you had opened revision {base}.",
            hint="Open the form again: saving this one would undo that change.",
        )
    fixed = sorted(set(changes) & {"name", "team"})
    if fixed:
        raise InvalidFields(dict.fromkeys(fixed, "Cannot be changed; create another service instead."))
    current = service.target_revision
    before = current.parsed().to_json()  # with fields that came after it was stored
    strategy = parse_strategy(changes.get("strategy", ROLLING))
    merged: dict[str, Any] = {**before, **{k: v for k, v in changes.items() if k not in {"replicas", "strategy"}}}
    for field in ("resources", "auth", "cors", "limits"):
        if isinstance(changes.get(field), Mapping):
            merged[field] = {**before[field], **changes[field]}
    like = None if "dataset" in changes else current
    spec = parse_spec(merged)
    # Only if asked for: somebody may scale it while the rest is checked.
    replicas = parse_replicas(changes["replicas"]) if "replicas" in changes else None
    count = service.replicas if replicas is None else replicas
    if spec.to_json() == before and not (like is None and current.dataset is None):
        return scale(service, count, actor=actor) if count != service.replicas else service
    moved = checks.is_placed_anew((current.parsed(), service.replicas), (spec, count))
    room: dict[str, Any] = {"room": moved, "node": moved and is_up(service)}
    carrier = carrier_of(service, spec, like=like)
    if carrier is not None:  # no replica is started, so model files are not looked at
        checks.check_permitted(spec, actor=actor)
        checks.check_room(spec, count, **room)
    else:
        _check_dataset(like)
        checks.check_spec(spec, count, name=service.name, team=service.team, actor=actor, peeks=peeks, **room)
    _roll(
        service,
        spec,
        actor=actor,
        note="Edited",
        base=current,
        like=like,
        strategy=strategy,
        replicas=replicas,
        carrier=carrier,
    )
    return service


def is_up(service: Service) -> bool:
    """Something serves, so what replaces it must have a place. One that waits may wait for a node as well."""
    return service.state in states.ROUTABLE


def rollback(service: Service, number: int, *, actor: Principal, strategy: str = ROLLING) -> Service:
    """Make a new revision with the spec of an earlier one, and with its very files while the store has them."""
    actor.require(service.team, roles.EDITOR)
    earlier = service.revisions.filter(number=number).first()
    if earlier is None:
        raise InvalidFields({"revision": f"{service.name} has no revision {number}."})
    parse_strategy(strategy)
    spec = parse_spec(earlier.spec)
    moved = checks.is_placed_anew((service.target_revision.parsed(), service.replicas), (spec, service.replicas))
    room: dict[str, Any] = {"room": moved, "node": moved and is_up(service)}
    carrier = carrier_of(service, spec, like=earlier, tree=earlier.tree)
    kept = earlier.tree if wiring.tree(earlier.tree) else ""
    if kept or carrier:  # what the dataset holds by now does not matter: it may be what one rolls back from
        checks.check_permitted(spec, actor=actor)
        checks.check_room(spec, service.replicas, **room)
    else:
        _check_dataset(earlier)
        checks.check_spec(spec, service.replicas, name=service.name, team=service.team, actor=actor, **room)
    note = f"Rolled back to revision {number}"
    _roll(
        service,
        spec,
        actor=actor,
        note=note,
        like=earlier,
        tree=kept,
        strategy=strategy,
        carrier=carrier,
        size_of_carrier=True,
    )
    return service


def restart(service: Service, *, actor: Principal, strategy: str = ROLLING) -> Service:
    """New processes for the same spec, rolled out without dropping requests; of one that is not running, a start."""
    actor.require(service.team, roles.EDITOR)
    parse_strategy(strategy)
    if service.state in states.SETTLED:
        return start(service, actor=actor)
    if service.state not in states.ROUTABLE:
        raise Conflict(
            f"{service.name} is {service.state}; it can be restarted once it is READY.", hint="Stop it first, or wait."
        )
    current = service.target_revision
    note = "Restarted"
    _roll(service, current.parsed(), actor=actor, note=note, base=current, like=current, strategy=strategy)
    return service


def _roll(
    service: Service,
    spec: ServiceSpec,
    *,
    actor: Principal,
    note: str,
    base: Revision | None = None,
    like: Revision | None = None,
    tree: str = "",
    strategy: str = ROLLING,
    replicas: int | None = None,
    carrier: Revision | None = None,
    size_of_carrier: bool = False,
) -> None:
    """`base`: the revision that `spec` was made from. Raises Conflict when it is no longer the one that should run.

    `tree`: files in the store to use instead of preparing the dataset's present ones; `like`: as of add_revision.
    `replicas`: their number, when it changes with the spec; the revision that serves keeps the number that it has.
    `carrier`: the revision whose processes go on under the new one (see revisions.carrier_of); with `size_of_carrier`,
    as many as it has.
    """
    with transaction.atomic():
        checks.find_queue(spec.queue, lock=True)
        _lock(service)
        if base is not None and service.target_id != base.pk:
            raise Conflict(CHANGED.format(name=service.name), hint="Review it again, then change it.")
        if carrier is not None:
            count = service.count_of(carrier) if size_of_carrier else service.replicas
            _carry_on(service, carrier, spec, actor=actor, note=note, count=replicas or count, strategy=strategy)
            return
        revision = add_revision(service, spec, actor=actor, note=note, like=like, tree=tree, strategy=strategy)
        log(service, "edited", f"{note}: revision {revision.number}.", actor=actor)
        if replicas is not None and replicas != service.replicas:
            _resize(service, replicas, actor=actor, keep=service.serving_replicas or service.replicas)
        # One that serves is rolled by reconcile; one that never served starts over with the new revision.
        if service.state in {states.QUEUED, states.STARTING, states.FAILED} and service.desired == RUNNING:
            move(
                service,
                states.PREHEATING,
                f"Revision {revision.number}: model files are being looked at.",
                actor=actor,
                serving=None,
                serving_replicas=None,
            )
        dispatch.reconcile(service.pk)


def _carry_on(
    service: Service,
    carrier: Revision,
    spec: ServiceSpec,
    *,
    actor: Principal,
    note: str,
    count: int,
    strategy: str,
) -> None:
    """Call inside a transaction, the service locked. Raises Conflict when it has moved since `carrier` was found."""
    if carrier.pk not in {service.target_id, service.serving_id} or not goes_on(service, carrier, spec):
        raise Conflict(CHANGED.format(name=service.name), hint="Review it again, then change it.")
    serves = carrier.pk == service.serving_id
    revision = carry_on(service, carrier, spec, actor=actor, note=note, strategy=strategy)
    log(service, "edited", f"{note}: revision {revision.number}. No replica is restarted.", actor=actor)
    if count != service.replicas or serves:
        _resize(service, count, actor=actor, keep=None if serves else service.serving_replicas or service.replicas)


def scale(service: Service, replicas: int, *, actor: Principal) -> Service:
    """Change how many replicas there are, without touching those that stay."""
    actor.require(service.team, roles.EDITOR)
    parse_replicas(replicas)
    more = replicas > service.replicas
    if more and (refused := model_files.refused(service.serving or service.target_revision, again=False)):
        raise Conflict(f"{service.name} is not scaled up. {refused}")
    checks.check_room(service.target_revision.parsed(), replicas, room=more, node=more and is_up(service))
    with transaction.atomic():
        _lock(service)
        _resize(service, replicas, actor=actor, keep=service.serving_replicas)
        dispatch.reconcile(service.pk)
    return service


def _resize(service: Service, replicas: int, *, actor: Principal, keep: int | None) -> None:
    """`keep`: how many the revision that serves keeps until another replaces it; None: as many."""
    if replicas != service.replicas:
        log(service, "scaled", f"Scaled from {service.replicas} to {replicas} replicas.", actor=actor)
    service.replicas, service.serving_replicas = replicas, keep
    service.save(update_fields=["replicas", "serving_replicas", "updated_at"])


def replace_now(service: Service, *, actor: Principal) -> Service:
    """The revision that waits for room takes the place of the one that serves, which ends first.

    Raises Conflict when none waits.
    """
    actor.require(service.team, roles.EDITOR)
    with transaction.atomic():
        target = _waiting(service)
        if target.replica_set.exists():
            raise Conflict(f"Revision {target.number} has its place already: its replicas are starting.")
        Revision.objects.filter(pk=target.pk).update(strategy=RECREATE)
        message = f"Revision {target.number} replaces the one that serves as soon as its model files are ready."
        log(service, "rollout", message, actor=actor)
        dispatch.reconcile(service.pk)
    return service


def cancel_rollout(service: Service, *, actor: Principal) -> Service:
    """The revision that serves stays. Raises Conflict when no other one is on its way."""
    actor.require(service.team, roles.EDITOR)
    with transaction.atomic():
        target = _waiting(service)
        Revision.objects.filter(pk=target.pk).update(note=f"{target.note} (canceled by {actor.label})"[:200])
        rollout.stay(service, target)
        log(service, "rollout", f"Revision {target.number} was canceled.", actor=actor)
    return service


def _waiting(service: Service) -> Revision:
    """The revision that is to replace the one that serves. Locks the service."""
    _lock(service)
    if service.state not in states.ROUTABLE or service.target_id == service.serving_id:
        raise Conflict(f"{service.name} has no revision that waits to be rolled out.")
    return service.target_revision


def start(service: Service, *, actor: Principal) -> Service:
    """Raises Conflict when its files hold code that the team no longer trusts."""
    actor.require(service.team, roles.EDITOR)
    if service.state in states.SETTLED and (refused := model_files.refused(service.target_revision, again=True)):
        raise Conflict(f"{service.name} is not started. {refused}")
    with transaction.atomic():
        _lock(service)
        Service.objects.filter(pk=service.pk).update(desired=RUNNING)
        service.desired = RUNNING
        if service.state in states.SETTLED:
            # After a failure the files may have been put right since, so they are read again; so are those of a
            # preheat that failed or was cancelled. Those that served are kept.
            revisions = service.revisions.filter(pk=service.target_revision.pk)
            if service.state != states.FAILED:
                revisions = revisions.filter(round__state__in=rounds.TERMINAL - {rounds.DONE})
            revisions.update(round=None, tree="", location="")
            move(service, states.PREHEATING, "Started; model files are being looked at.", actor=actor, serving=None)
    return service


def stop(service: Service, *, actor: Principal) -> Service:
    """Requests are refused at once, those in flight are finished, then the processes end. Model files stay."""
    actor.require(service.team, roles.EDITOR)
    return _end(service, STOPPED, "Stopped", actor)


def delete(service: Service, *, actor: Principal, confirm: str | None = None) -> None:
    """Stop and forget it. `confirm`, when given, must be its name (the page asks for it to be typed)."""
    actor.require(service.team, roles.EDITOR)
    if confirm is not None and confirm != service.name:
        raise InvalidFields({"confirm": f"Type the name of the service, {service.name}, to delete it."})
    _end(service, DELETED, "Deleted", actor)


def _end(service: Service, desired: str, word: str, actor: Principal) -> Service:
    with transaction.atomic():
        _lock(service, deleting=desired == DELETED)
        Service.objects.filter(pk=service.pk).update(desired=desired)
        service.desired = desired
        if service.state == states.STOPPED and desired == STOPPED:
            return service
        if service.state != states.STOPPING:
            move(service, states.STOPPING, f"{word} by {actor.label}; requests in flight are finished.", actor=actor)
        dispatch.reconcile(service.pk)
    return service


def _lock(service: Service, *, deleting: bool = False) -> None:
    """Nobody moves it until the transaction ends. What the caller read may be old: reconcile moves it as well.

    Raises Conflict for one that is being deleted, unless that is what the caller is about.
    """
    columns = ("state", "desired", "target_id", "serving_id", "replicas", "serving_replicas")
    now = Service.objects.select_for_update().filter(pk=service.pk).values_list(*columns).first()
    if now is None:
        raise NotFound(f"{service.name} was deleted meanwhile.")
    for column, value in zip(columns, now, strict=True):
        setattr(service, column, value)
    if service.desired == DELETED and not deleting:
        raise Conflict(f"{service.name} is being deleted.")


def _check_dataset(revision: Revision | None) -> None:
    """Raises InvalidFields when the dataset of a revision is gone: one that took its name is another."""
    if revision is not None and revision.dataset is None:
        name = revision.spec["dataset"]
        message = (
            f"Dataset {name} of revision {revision.number} was deleted. Choose the dataset to take the files from."
        )
        raise InvalidFields({"dataset": message})
