"""One Triton for the folder: it loads the model that a test is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.triton import OpenTriton, open_triton, shared_samples


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenTriton]:
    with open_triton(tmp_path_factory.mktemp("opened")) as triton:
        yield triton


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_samples(tmp_path_factory)
