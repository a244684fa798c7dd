"""Adds a revision to a service: for the verbs that people use, and for the rollout.

A revision that differs only in what the gateway, the console or placement reads takes over the processes of the one
before (services/policies/workload.py). Access and limits hold from the next publish on, whatever is being rolled out.
"""

from __future__ import annotations

from django.db.models import Max
from django.utils import timezone

from console.accounts.principal import Principal
from datasets.models import Dataset
from services import dispatch, states, wiring
from services.control import code_trust
from services.models import Node, Revision, Service
from services.policies import workload
from services.specs import ROLLING, ServiceSpec


def add_revision(
    service: Service,
    spec: ServiceSpec,
    *,
    actor: Principal,
    note: str = "",
    like: Revision | None = None,
    tree: str = "",
    strategy: str = ROLLING,
) -> Revision:
    """The next revision, made the target. Call inside a transaction.

    `like`: the revision whose dataset it keeps, whatever has that dataset's name by now; `tree`: its files, to use.
    """
    number = (service.revisions.aggregate(last=Max("number"))["last"] or 0) + 1
    dataset = like.dataset if like else Dataset.objects.filter(name=spec.dataset, team=service.team).first()
    location = like.location if like and tree else ""
    permission = like.permission if like else None
    if actor.is_admin and wiring.framework(spec.framework).needs_administrator(spec.framework_config):
        permission = code_trust.permission(actor, location or (dataset.location if dataset else ""))
    revision = Revision.objects.create(
        service=service,
        number=number,
        spec=spec.to_json(),
        created_by=actor.label,
        note=note,
        dataset=dataset,
        tree=tree,
        location=location,
        permission=permission,
        strategy=strategy,
    )
    service.target = revision
    service.save(update_fields=["target", "updated_at"])
    return revision


def carrier_of(
    service: Service, spec: ServiceSpec, *, like: Revision | None = None, tree: str | None = None
) -> Revision | None:
    """The revision whose processes go on under `spec`; None when it takes new ones.

    `like`: as of add_revision. `tree`: the files that it must have, of a rollback; None: those that it has, of an edit.
    """
    service = Service.objects.select_related("target", "serving").get(pk=service.pk)
    bases = (service.target, service.serving) if tree is None else (service.serving, service.target)
    dataset = like.dataset if like else Dataset.objects.filter(name=spec.dataset, team=service.team).first()
    for base in bases:
        if base is not None and goes_on(service, base, spec):
            same_files = base.dataset == dataset if tree is None else base.tree == tree
            if same_files or (like is not None and like.pk == base.pk):
                return base
    return None


def note_served(revision: Revision) -> None:
    """From now on its replicas are never given up, also after a stop and a start."""
    if revision.served_at is None:
        revision.served_at = timezone.now()
        revision.save(update_fields=["served_at"])


def goes_on(service: Service, base: Revision, spec: ServiceSpec) -> bool:
    """May the processes of `base` go on under `spec`, and where they are?"""
    before = base.parsed()
    if service.state not in {states.PREHEATING, states.QUEUED, states.STARTING, *states.ROUTABLE}:
        return False
    if not workload.same_processes(before, spec):
        return False
    serves = service.state in states.ROUTABLE and base.pk == service.serving_id
    if before.queue != spec.queue and not serves and service.state != states.PREHEATING:
        return False  # it takes its place in the other queue
    labels = {node.name: node.info().labels for node in Node.objects.all()}
    nodes = [labels.get(name, {}) for name in base.replica_set.values_list("node", flat=True)]
    return workload.may_stay(spec.affinity, nodes)


def carry_on(
    service: Service, base: Revision, spec: ServiceSpec, *, actor: Principal, note: str = "", strategy: str = ROLLING
) -> Revision:
    """The next revision, made the target, with the processes of `base`. Call inside a transaction, the service locked.

    In another queue `base` serves on until its claim has moved there: see rollout.
    """
    base = Revision.objects.get(pk=base.pk)  # a reconcile may have prepared its files since it was read
    strategy = base.strategy if strategy == ROLLING else strategy
    revision = add_revision(service, spec, actor=actor, note=note, like=base, tree=base.tree, strategy=strategy)
    revision.launch, revision.described, revision.round = base.process_number, base.described, base.round
    revision.served_at = base.served_at
    revision.save(update_fields=["launch", "described", "round", "served_at"])
    if base.spec["queue"] == spec.queue:
        base.replica_set.update(revision=revision)
        if base.pk == service.serving_id:
            Service.objects.filter(pk=service.pk).update(serving=revision)
            service.serving = revision
    dispatch.publish()
    dispatch.reconcile(service.pk)
    return revision
