"""Reads the gateway's access log into sums of usage, and counts each request exactly once.

A step reads some whole lines from where the file's position says, adds them up, and then, in one transaction, moves the
position on from where it was and adds the sums. Whoever dies before the commit has changed nothing; of two that read
the same lines only the one that finds the position unmoved adds anything. What a line says: gateway/usage_lines.py.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from services.gateway import usage_lines
from services.gateway.envoy import names
from services.models import LogPosition, Usage
from services.models.usage import HOUR, MINUTE
from services.usage import metering_rows

CHUNK = 8 << 20
"""Bytes read at once: what bounds memory, and how long a transaction takes."""
LONGEST_LINE = 1 << 20
"""Envoy's are far shorter; more than this without a newline is none of its lines."""
HOURS_KEPT = timedelta(days=400)
PRUNED_AT_ONCE = 2000
"""Rows that one transaction removes: short enough for the others that wait to write. A day may have millions."""
POSITIONS_KEPT = timedelta(days=30)
"""How long the position of a removed file is kept: the file may be put back."""

logger = logging.getLogger(__name__)


def catch_up(directory: Path | None = None, *, seconds: float = 60.0) -> int:
    """Count the uncounted lines of the log files. Returns the number of requests.

    Returns when nothing is left, or after about `seconds`: the next call goes on. May run any number of times at once.
    """
    deadline, counted = time.monotonic() + seconds, 0
    for path in log_files(directory):
        with _opened(path) as file:
            if file is None:
                continue
            while (step := _step(file)) is not None:
                counted += step
                if time.monotonic() > deadline:
                    return counted
    return counted


def log_files(directory: Path | None = None) -> list[Path]:
    """access.log.9, .., access.log.1, access.log: the oldest first. `directory` is the gateway's."""
    log = (directory or settings.HOME.gateway) / names.ACCESS_LOG
    numbered = {int(path.suffix[1:]): path for path in log.parent.glob(f"{log.name}.*") if path.suffix[1:].isdigit()}
    return [*(numbered[number] for number in sorted(numbered, reverse=True)), *([log] if log.exists() else [])]


def finished(path: Path) -> bool:
    """Whether every line of a rotated file is counted."""
    with _opened(path) as file:
        if file is None:
            return True
        rest = os.pread(file, LONGEST_LINE, _offset(file))
        return b"\n" not in rest and len(rest) < LONGEST_LINE


def unread_bytes(directory: Path | None = None) -> int:
    """Bytes of the access log not yet counted."""
    behind = 0
    for path in log_files(directory):
        with _opened(path) as file:
            if file is not None:
                behind += max(0, os.fstat(file).st_size - _offset(file))
    return behind


def prune() -> None:
    """Let go of minutes after METERING_KEEP_DAYS and of hours after HOURS_KEPT; days and totals stay."""
    now = time.time()
    for span, kept in ((MINUTE, timedelta(days=settings.METERING_KEEP_DAYS)), (HOUR, HOURS_KEPT)):
        rows = Usage.objects.filter(span=span, start__lt=int(now - kept.total_seconds())).order_by()
        while batch := list(rows.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
            Usage.objects.filter(pk__in=batch).delete()
    _forget_positions()


def _forget_positions() -> None:
    present = set()
    for path in log_files():
        with _opened(path) as file:
            present.add(_identity(file) if file is not None else "")
    old = LogPosition.objects.filter(updated_at__lt=timezone.now() - POSITIONS_KEPT)
    old = old.exclude(identity__in=[*present, LogPosition.FORGOTTEN])
    LogPosition.objects.get_or_create(identity=LogPosition.FORGOTTEN)
    with transaction.atomic():
        kept = LogPosition.objects.select_for_update().get(identity=LogPosition.FORGOTTEN)
        gone = list(old.values_list("pk", flat=True))
        rows = LogPosition.objects.filter(pk__in=gone)
        sums = rows.aggregate(lines=Sum("lines"), torn=Sum("torn"), unreadable=Sum("unreadable"))
        for name, value in sums.items():
            setattr(kept, name, getattr(kept, name) + (value or 0))
        kept.save()
        rows.delete()


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """A descriptor, which stays with its file when the name moves on; None when the file is gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def _offset(file: int) -> int:
    """Up to where it is counted."""
    identity = _identity(file)
    position = LogPosition.objects.filter(identity=identity).first() if identity else None
    return position.offset if position else 0


def _identity(file: int) -> str:
    """A digest of the first line, which holds the id of a request and so stands in no other file.

    "" before there is a whole line. Where the line has no such id, the file's own number has to do.
    """
    head = os.pread(file, 8192, 0)
    if b"\n" not in head:
        head = os.pread(file, LONGEST_LINE, 0)
    line, newline, _ = head.partition(b"\n")
    if not newline and len(head) < LONGEST_LINE:
        return ""
    mark = b"" if usage_lines.first_request(line) else b"%d" % os.fstat(file).st_ino
    return hashlib.sha256(line + mark).hexdigest()


def _step(file: int) -> int | None:
    """Count the next whole lines of a file; how many requests, or None when there is no whole line to count."""
    identity = _identity(file)
    if not identity:
        return None
    position, _ = LogPosition.objects.get_or_create(identity=identity)
    text = os.pread(file, CHUNK, position.offset)
    end = text.rfind(b"\n") + 1
    if end == 0:
        if len(text) < CHUNK:
            return None  # nothing, or the beginning of a line that is being written
        end = len(text)
    sums = usage_lines.add_up(text[:end])
    with transaction.atomic():
        if not _advance(position, end, sums):
            return 0  # another worker has counted these lines
        metering_rows.add(sums)
    return sums.requests


def _advance(position: LogPosition, by: int, sums: usage_lines.Sums) -> bool:
    """Whether the position was still where it had been read from. Holds the row until the end of the transaction."""
    unmoved = LogPosition.objects.filter(Q(pk=position.pk) & Q(offset=position.offset))
    return bool(
        unmoved.update(
            offset=position.offset + by,
            lines=F("lines") + sums.requests,
            torn=F("torn") + sums.torn,
            unreadable=F("unreadable") + sums.unreadable,
            updated_at=timezone.now(),
        )
    )
