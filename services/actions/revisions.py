"""Adds a revision to a service: for the verbs that people use, and for the rollout."""

from __future__ import annotations

from django.db.models import Max

from console.principal import Principal
from datasets.models import Dataset
from services.actions import code, wiring
from services.models import Revision, Service
from services.specs import ROLLING, ServiceSpec


def add_revision(
    service: Service, spec: ServiceSpec, *, actor: Principal, note: str = "", like: Revision | None = None,
    tree: str = "", strategy: str = ROLLING,
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
        tree=tree, location=location, permission=permission, strategy=strategy,
    )  # fmt: skip
    service.target = revision
    service.save(update_fields=["target", "updated_at"])
    return revision
