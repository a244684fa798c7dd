from __future__ import annotations

from pathlib import Path

import pytest

from datasets.errors import SourceError
from datasets.sources import registry
from datasets.sources.base import Site
from datasets.sources.local.source import LocalSource


def test_a_local_source_is_made_without_touching_the_disk() -> None:
    local_source = registry.make("local", {"path": "/no/such/place"}, Site(roots=(Path("/no/such"),)))
    assert isinstance(local_source, LocalSource)


def test_every_kind_is_told_with_its_fields_or_the_reason_why_not() -> None:
    kinds = {kind.kind: kind for kind in registry.kinds()}
    assert set(kinds) == {"local", "nfs", "s3", "http", "huggingface"}
    assert [option.name for option in kinds["local"].options] == ["path"]


@pytest.mark.parametrize("kind", ["ftp", ""])
def test_a_kind_that_does_not_work_is_refused_with_those_that_do(kind: str) -> None:
    with pytest.raises(SourceError, match="Kinds: local"):
        registry.make(kind, {}, Site())
