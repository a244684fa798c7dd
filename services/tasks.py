"""Celery's way in: each task calls one action."""

from __future__ import annotations

import threading

from celery import shared_task

from console.alone import alone, once_more
from services import dispatch
from services.actions import places
from services.control import certificates, publishing, reconcile
from services.control.replicas import hung as hung_replicas
from services.models import Service
from services.usage import access_log, metering

ENDING = threading.BoundedSemaphore(4)
"""Steps that end processes at once: fewer than the worker has threads, since each may take a minute."""


@shared_task(name="services.reconcile")
def reconcile_one(service_pk: int) -> None:
    if not reconcile.may_take_long(Service.objects.filter(pk=service_pk)).exists():
        reconcile.reconcile(service_pk)
    elif ENDING.acquire(blocking=False):  # if not, the sweep hands it over again
        try:
            reconcile.reconcile(service_pk)
        finally:
            ENDING.release()


@shared_task(name="services.sweep")
@alone
def sweep() -> None:
    """What a lost message missed, and what only time brings (a replica answers, a key expires)."""
    publishing.publish_now()
    certificates.refresh()
    reconcile.sweep(hand_over=dispatch.reconcile)
    if reconcile.unknown():
        dispatch.end_unknown()
    places.note_sweep()


@shared_task(name="services.end_unknown")
@alone
def end_unknown() -> None:
    """Processes that no service knows."""
    if ENDING.acquire(blocking=False):  # if not, the next sweep finds them again
        try:
            reconcile.end_unknown()
        finally:
            ENDING.release()


@shared_task(name="services.watch")
@alone
def watch_replicas() -> None:
    """Replicas that say they are well, have requests, and finish none."""
    hung_replicas.end_hung()


@shared_task(name="services.publish")
@once_more
def publish() -> None:
    publishing.publish_now()


@shared_task(name="services.report_node")
@alone
def report_node() -> None:
    places.report_node()


@shared_task(name="services.rotate_access_log")
@alone
def rotate_access_log() -> None:
    access_log.rotate()


@shared_task(name="services.count_usage")
@alone
def count_usage() -> None:
    metering.catch_up()  # right in any case, but two in one process would only read the same lines twice


@shared_task(name="services.prune_usage")
@alone
def prune_usage() -> None:
    metering.prune()
