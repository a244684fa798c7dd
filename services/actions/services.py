"""What people can do with a service. Each verb writes what is wanted; services/actions/reconcile.py makes it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from console import roles
from console.errors import Conflict, InvalidFields, NotFound
from console.models import Team
from console.principal import Principal
from datasets import reading
from datasets import states as rounds
from datasets.models import Dataset
from services import dispatch, states
from services.actions import checks, code, files, wiring
from services.actions.transitions import log, move
from services.models import Revision, Service
from services.models.services import DELETED, RUNNING, STOPPED
from services.parsing import parse_replicas, parse_spec
from services.specs import ServiceSpec


def create(data: Mapping[str, Any], *, team: Team, actor: Principal) -> Service:
    """A new service from the JSON of design section 7; it starts to preheat at once.

    Raises InvalidFields naming every wrong field; then nothing was made.
    """
    actor.require(team, roles.EDITOR)
    name, replicas, spec = checks.parse_all(data)
    checks.check_new(name, replicas, spec, team=team, actor=actor)
    try:
        with transaction.atomic():
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


def add_revision(
    service: Service, spec: ServiceSpec, *, actor: Principal, note: str = "", like: Revision | None = None,
    tree: str = "",
) -> Revision:
    """The next revision, made the target. Call inside a transaction.

    `like`: the revision whose dataset it keeps, whatever has that dataset's name by now; `tree`: its files, to use.
    """
    number = (service.revisions.aggregate(last=Max("number"))["last"] or 0) + 1
    dataset = like.dataset if like else Dataset.objects.filter(name=spec.dataset, team=service.team).first()
    location = like.location if like and tree else ""
    permission = like.permission if like else None
    if actor.is_admin and wiring.framework(spec.framework).needs_administrator(spec.framework_config):
        permission = code.permission(actor, location or (dataset.location if dataset else ""))
    revision = Revision.objects.create(
        service=service, number=number, spec=spec.to_json(), created_by=actor.label, note=note, dataset=dataset,
        tree=tree, location=location, permission=permission,
    )
    service.target = revision
    service.save(update_fields=["target", "updated_at"])
    return revision


def edit(service: Service, changes: Mapping[str, Any], *, actor: Principal, base: int | None = None) -> Service:
    """Replace the named fields (resources, auth and limits are merged). Anything but `replicas` makes a new revision.

    A serving service goes on serving its present revision until the new one answers. `base`: the number of the
    revision that whoever made the changes was looking at; Conflict when it is no longer the one that should run.
    """
    actor.require(service.team, roles.EDITOR)
    if base is not None and target_of(service).number != base:
        newer = target_of(service)
        raise Conflict(
            f"{newer.created_by} saved revision {newer.number} after you had opened revision {base}.",
            hint="Open the form again: saving this one would undo that change.",
        )
    fixed = sorted(set(changes) & {"name", "team"})
    if fixed:
        raise InvalidFields(dict.fromkeys(fixed, "Cannot be changed; create another service instead."))
    current = target_of(service)
    before = current.parsed().to_json()  # with fields that came after it was stored
    merged: dict[str, Any] = {**before, **{k: v for k, v in changes.items() if k != "replicas"}}
    for field in ("resources", "auth", "limits"):
        if isinstance(changes.get(field), Mapping):
            merged[field] = {**before[field], **changes[field]}
    like = None if "dataset" in changes else current
    _check_dataset(like)
    spec = parse_spec(merged)
    replicas = parse_replicas(changes.get("replicas", service.replicas))
    checks.check_spec(spec, replicas, team=service.team, actor=actor)
    with transaction.atomic():  # both or neither
        if replicas != service.replicas:
            scale(service, replicas, actor=actor)
        if spec.to_json() != before or (like is None and current.dataset is None):
            _roll(service, spec, actor=actor, note="Edited", base=current, like=like)
    return service


def rollback(service: Service, number: int, *, actor: Principal) -> Service:
    """Make a new revision with the spec of an earlier one, and with its very files while the store has them."""
    actor.require(service.team, roles.EDITOR)
    earlier = service.revisions.filter(number=number).first()
    if earlier is None:
        raise InvalidFields({"revision": f"{service.name} has no revision {number}."})
    spec = parse_spec(earlier.spec)
    kept = earlier.tree if reading.tree(earlier.tree) else ""
    if kept:  # what the dataset holds by now does not matter: it may be what one rolls back from
        checks.check_permitted(spec, actor=actor)
        checks.check_quota(spec, service.replicas)
    else:
        _check_dataset(earlier)
        checks.check_spec(spec, service.replicas, team=service.team, actor=actor)
    _roll(service, spec, actor=actor, note=f"Rolled back to revision {number}", like=earlier, tree=kept)
    return service


def restart(service: Service, *, actor: Principal) -> Service:
    """New processes for the same spec, rolled out without dropping requests; of one that is not running, a start."""
    actor.require(service.team, roles.EDITOR)
    if service.state in states.SETTLED:
        return start(service, actor=actor)
    if service.state not in states.ROUTABLE:
        raise Conflict(
            f"{service.name} is {service.state}; it can be restarted once it is READY.", hint="Stop it first, or wait."
        )
    current = target_of(service)
    _roll(service, current.parsed(), actor=actor, note="Restarted", base=current, like=current)
    return service


def _roll(
    service: Service, spec: ServiceSpec, *, actor: Principal, note: str, base: Revision | None = None,
    like: Revision | None = None, tree: str = "",
) -> None:
    """`base`: the revision that `spec` was made from. Raises Conflict when it is no longer the one that should run.

    `tree`: files in the store to use instead of preparing the dataset's present ones; `like`: as of add_revision.
    """
    with transaction.atomic():
        _lock(service)
        if base is not None and service.target_id != base.pk:
            raise Conflict(f"{service.name} was changed meanwhile.", hint="Look at it again, then change it.")
        revision = add_revision(service, spec, actor=actor, note=note, like=like, tree=tree)
        log(service, "edited", f"{note}: revision {revision.number}.", actor=actor)
        # One that serves is rolled by reconcile; one that never served starts over with the new revision.
        if service.state in {states.QUEUED, states.STARTING, states.FAILED} and service.desired == RUNNING:
            move(
                service, states.PREHEATING, f"Revision {revision.number}: model files are being looked at.", actor=actor
            )
        dispatch.reconcile(service.pk)


def scale(service: Service, replicas: int, *, actor: Principal) -> Service:
    """Change how many replicas there are, without touching those that stay."""
    actor.require(service.team, roles.EDITOR)
    parse_replicas(replicas)
    if replicas > service.replicas and (refused := files.refused(service.serving or target_of(service), again=False)):
        raise Conflict(f"{service.name} is not scaled up. {refused}")
    checks.check_quota(target_of(service).parsed(), replicas)
    with transaction.atomic():
        _lock(service)
        old, service.replicas = service.replicas, replicas
        service.save(update_fields=["replicas", "updated_at"])
        log(service, "scaled", f"Scaled from {old} to {replicas} replicas.", actor=actor)
        dispatch.reconcile(service.pk)
    return service


def start(service: Service, *, actor: Principal) -> Service:
    """Raises Conflict when its files hold code that the team does not trust any more."""
    actor.require(service.team, roles.EDITOR)
    if service.state in states.SETTLED and (refused := files.refused(target_of(service), again=True)):
        raise Conflict(f"{service.name} is not started. {refused}")
    with transaction.atomic():
        _lock(service)
        Service.objects.filter(pk=service.pk).update(desired=RUNNING)
        service.desired = RUNNING
        if service.state in states.SETTLED:
            # After a failure the files may have been put right since, so they are read again; so are those of a
            # preheat that failed or was cancelled. Those that served are kept.
            revisions = service.revisions.filter(pk=target_of(service).pk)
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
    columns = ("state", "desired", "target_id", "replicas")
    now = Service.objects.select_for_update().filter(pk=service.pk).values_list(*columns).first()
    if now is None:
        raise NotFound(f"{service.name} was deleted meanwhile.")
    service.state, service.desired, service.target_id, service.replicas = now
    if service.desired == DELETED and not deleting:
        raise Conflict(f"{service.name} is being deleted.")


def _check_dataset(revision: Revision | None) -> None:
    """Raises InvalidFields when the dataset of a revision is gone: one that took its name is another."""
    if revision is not None and revision.dataset is None:
        name = revision.spec["dataset"]
        said = f"Dataset {name} of revision {revision.number} was deleted. Choose the dataset to take the files from."
        raise InvalidFields({"dataset": said})


def target_of(service: Service) -> Revision:
    """The revision that should run; every service has one from its first transaction on."""
    assert service.target is not None
    return service.target
