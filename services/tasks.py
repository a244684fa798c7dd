"""Celery's way in: each task calls one action."""

from __future__ import annotations

import threading

from celery import shared_task

from services.actions import access_log, metering, places, publishing, reconcile, tls, watch

SWEEPING = threading.Lock()
WATCHING = threading.Lock()
COUNTING = threading.Lock()


@shared_task(name="services.reconcile")
def reconcile_one(service_pk: int) -> None:
    reconcile.reconcile(service_pk)


@shared_task(name="services.sweep")
def sweep() -> None:
    """What a lost message missed, and what only time brings (a replica answers, a key expires)."""
    if not SWEEPING.acquire(blocking=False):
        return  # the one before is still at it: many replicas that do not answer must not fill the worker
    try:
        publishing.publish_now()
        tls.refresh()
        reconcile.sweep()
        reconcile.end_unknown()
        places.note_sweep()
    finally:
        SWEEPING.release()


@shared_task(name="services.watch")
def watch_replicas() -> None:
    """Replicas that say they are well, have requests, and finish none."""
    if not WATCHING.acquire(blocking=False):
        return
    try:
        watch.watch()
    finally:
        WATCHING.release()


@shared_task(name="services.publish")
def publish() -> None:
    publishing.publish_now()


@shared_task(name="services.report_node")
def report_node() -> None:
    places.report_node()


@shared_task(name="services.rotate_access_log")
def rotate_access_log() -> None:
    access_log.rotate()


@shared_task(name="services.count_usage")
def count_usage() -> None:
    if not COUNTING.acquire(blocking=False):
        return  # right in any case, but two in one process would only read the same lines twice
    try:
        metering.catch_up()
    finally:
        COUNTING.release()


@shared_task(name="services.prune_usage")
def prune_usage() -> None:
    metering.prune()
