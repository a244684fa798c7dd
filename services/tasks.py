"""Celery's way in: each task calls one action."""

from __future__ import annotations

from celery import shared_task

from services.actions import access_log, places, publishing, reconcile


@shared_task(name="services.reconcile")
def reconcile_one(service_pk: int) -> None:
    reconcile.reconcile(service_pk)


@shared_task(name="services.sweep")
def sweep() -> None:
    """What a lost message missed, and what only time brings (a replica answers, a key expires)."""
    reconcile.sweep()
    reconcile.end_unknown()
    publishing.publish_now()


@shared_task(name="services.publish")
def publish() -> None:
    publishing.publish_now()


@shared_task(name="services.report_node")
def report_node() -> None:
    places.report_node()


@shared_task(name="services.rotate_access_log")
def rotate_access_log() -> None:
    access_log.rotate()
