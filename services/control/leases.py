"""The lease of the one reconcile that works on a service, renewed for as long as its step goes on.

A step that lost its lease (its process stood still, or the database was away for longer than LEASE) must not write:
another worker may have taken the service since. `check` is called before each write, and asks no database.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta

from django.db import Error, connection
from django.utils import timezone

from services.models import Service

logger = logging.getLogger(__name__)
LEASE = timedelta(seconds=60)
RENEW_SECONDS = 15.0


class LostLease(Exception):
    """The lease was lost: the step ends here, and its new holder goes on from the facts."""


class Lease:
    """`until` is what the row says; `deadline` is the same on this process's own clock, and never later."""

    def __init__(self, service_pk: int) -> None:
        self.service_pk = service_pk
        self.until: datetime | None = None
        self.deadline = 0.0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """False while another worker has it."""
        return self._extend(Service.objects.unleased())

    def renew(self) -> None:
        with self._lock:
            if self.until is not None:
                self._extend(Service.objects.filter(lease_until=self.until))

    def release(self) -> None:
        with self._lock:
            Service.objects.filter(pk=self.service_pk, lease_until=self.until).update(lease_until=None)
            self.until = None

    def _extend(self, rows: object) -> bool:
        began, until = time.monotonic(), timezone.now() + LEASE
        if not rows.filter(pk=self.service_pk).update(lease_until=until):  # type: ignore[attr-defined]
            return False
        self.until, self.deadline = until, began + LEASE.total_seconds()
        return True


_current: ContextVar[Lease | None] = ContextVar("lease", default=None)
_held: set[Lease] = set()
_starting = threading.Lock()
_renewer: threading.Thread | None = None


@contextmanager
def lease_of(service_pk: int) -> Iterator[Lease | None]:
    """None while another worker has it."""
    lease = Lease(service_pk)
    if not lease.take():
        yield None
        return
    _start_renewer()
    token = _current.set(lease)
    _held.add(lease)
    try:
        yield lease
    finally:
        _held.discard(lease)
        _current.reset(token)
        lease.release()


def check() -> None:
    """Raises LostLease. A caller without a lease, such as a verb in a web request, passes."""
    lease = _current.get()
    if lease is not None and time.monotonic() >= lease.deadline:
        raise LostLease(f"the step on service {lease.service_pk} took longer than its lease")


def _start_renewer() -> None:
    global _renewer
    with _starting:
        if _renewer is None or not _renewer.is_alive():
            _renewer = threading.Thread(target=_renew_all, name="leases", daemon=True)
            _renewer.start()


def _renew_all() -> None:
    while True:
        time.sleep(RENEW_SECONDS)
        renew_held()


def renew_held() -> None:
    """Leases taken less than a pause ago have time."""
    soon = time.monotonic() + LEASE.total_seconds() - RENEW_SECONDS / 2
    due = [lease for lease in list(_held) if lease.deadline < soon]
    if not due:
        return
    for lease in due:
        try:
            lease.renew()
        except Error:  # of this lease, or of a connection that the next one opens anew
            pk = lease.service_pk
            logger.exception("the lease of service %s was not renewed; the next try is in %g s", pk, RENEW_SECONDS)
            connection.close()
    connection.close()
