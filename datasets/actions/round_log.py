"""The log of a round, and telling other apps that one is over."""

from __future__ import annotations

import logging

from django.db import transaction

from datasets.models import Round, RoundLine
from datasets.signals import round_finished

LINES = 500
"""Lines that the log of a round keeps. Attempts write far fewer; workers that die again and again might not."""
logger = logging.getLogger(__name__)


def say(round_pk: int, text: str) -> None:
    """Adds a line to the round's log, which pages and the API show, and lets go of the oldest when it is long."""
    RoundLine.objects.create(round_id=round_pk, text=text[:1000])
    log = RoundLine.objects.filter(round_id=round_pk)
    for newest_beyond in log.order_by("-id").values_list("pk", flat=True)[LINES : LINES + 1]:
        log.filter(pk__lte=newest_beyond).delete()


def announce(round_pk: int) -> None:
    """Tells the other apps, after commit, that a round is over. A receiver that fails hurts nobody else."""

    def send() -> None:
        job = Round.objects.filter(pk=round_pk).first()
        if job is None:
            return
        for receiver, answer in round_finished.send_robust(Round, round=job):
            if isinstance(answer, Exception):
                logger.error("%r failed on round %s: %s", receiver, round_pk, answer, exc_info=answer)

    transaction.on_commit(send)
