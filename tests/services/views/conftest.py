"""The pages' tests use the same team, dataset and recording engine as the tests of the actions."""

from __future__ import annotations

from tests.services.actions.conftest import (  # noqa: F401
    actor,
    dataset,
    make,
    node,
    payload,
    published,
    queue,
    ready,
    world,
)
from tests.services.usage.conftest import calls  # noqa: F401
