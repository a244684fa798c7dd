"""The pages' tests use the same team, dataset and recording engine as the tests of the actions."""

from __future__ import annotations

from tests.services.conftest import actor, dataset, make, node, payload, published, queue, ready, world  # noqa: F401
from tests.services.usage.conftest import calls  # noqa: F401
