"""What every fault must end in: the complete verified model, or a clear message and no model at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from datasets import states, wiring
from datasets.models import Round
from datasets.preheat.store import upkeep
from datasets.preheat.store.trees import Store
from tests.datasets.worker import Worker

MIB = 1 << 20
HEADERS = 2 << 20
"""Bytes that may pass besides contents: headers and listings."""


class FaultyWorker(Worker):
    """Rounds of the folder `m`."""

    @property
    def folder(self) -> Path:
        """A dataset on this machine, whose rounds copy it."""
        return Path(self.dataset.options["path"], "m")

    @property
    def store(self) -> Store:
        return wiring.store()

    def finish(self, job: Round) -> Round:
        """The round once it is over, however."""
        while (row := self.attempt(job)).state not in states.TERMINAL:
            assert row.attempts
        return row

    def assert_whole(self, row: Round, contents: Mapping[str, bytes]) -> None:
        """The round is done; its tree is exactly these files, read again from the disk, and nothing is left over."""
        assert (row.state, row.message) == (states.DONE, "")
        manifest = self.store.manifest(row.tree)
        assert manifest is not None
        expected = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
        assert {file.path: file.sha256 for file in manifest.files} == expected
        assert upkeep.verify(self.store, row.tree) == []
        assert self.published() == [row.tree]
        assert self.store.staging_names() == []

    def assert_none(self) -> None:
        """Not even a part of a model can be found in the store."""
        assert self.published() == []

    def published(self) -> list[str]:
        trees = self.store.root / "trees"
        return [path.name for path in trees.iterdir()] if trees.exists() else []
