"""Does rounds in the process of the test, as a worker does when it gets their message."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from console.accounts.principal import SYSTEM, Principal
from datasets.actions.rounds import request_round
from datasets.jobs import rounds
from datasets.models import Dataset, Round
from tests.datasets.looking import expire, fresh


class Worker:
    """Rounds of one dataset. `commit` runs what is to happen on commit, as a transaction would."""

    def __init__(
        self,
        dataset: Dataset,
        actor: Principal = SYSTEM,
        commit: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.dataset, self.actor, self._commit = dataset, actor, commit

    def request(self, path: str = "svm", **options: str) -> Round:
        return request_round(self.dataset, path, actor=self.actor, **options)

    def run(self, job: Round) -> Round:
        """The round once its message was worked off."""
        with self._commit():
            rounds.run(job.pk)
        return fresh(job)

    def attempt(self, job: Round) -> Round:
        """The round after one attempt. No pause after the last one is waited for."""
        expire(job)
        return self.run(job)

    def preheat(self, path: str = "svm", **options: str) -> Round:
        return self.run(self.request(path, **options))
