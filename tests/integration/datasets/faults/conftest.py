"""A bucket behind a proxy that can misbehave, and the processes that preheat from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.datasets.faults.outcome import point
from tests.integration.preheat.plane import Plane, start_plane
from tests.servers.proxy import Proxy
from tests.servers.s3 import Bucket


@pytest.fixture
def plane() -> Iterator[Plane]:
    with start_plane() as running_plane:
        yield running_plane


@pytest.fixture
def proxy(bucket: Bucket, plane: Plane) -> Iterator[Proxy]:
    """Between the plane's dataset and the bucket."""
    with Proxy(bucket.server.port) as running_proxy:
        point(plane, bucket, running_proxy)
        yield running_proxy
