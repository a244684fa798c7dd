"""One world for the folder, and the service that each test is about. Mark its tests xdist_group("corpus")."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from services import states
from services.models import Service
from tests.corpus.all import CASES
from tests.corpus.case import Case
from tests.integration.corpus.world import AHEAD, World

SERVED = [case for case in CASES if case.served and case.framework == "triton" and not case.like]


@pytest.fixture(scope="package")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    with django_db_blocker.unblock(), World(CASES) as opened:
        opened.enter_all()
        yield opened


@pytest.fixture(scope="package", params=SERVED, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """Each that is served, one after the other: all tests of one come together."""
    chosen: Case = request.param
    return chosen


@pytest.fixture(scope="package")
def ready(world: World, case: Case, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Its service. Those that this run tests next start meanwhile."""
    order = list(dict.fromkeys(one for item in request.session.items if (one := _case_of(item))))
    position = order.index(case)
    try:
        service = world.start(case, order[position + 1 : position + 1 + AHEAD])
        assert service.state == states.READY, f"{service.message}\n{world.log(case)}"
        yield service
    finally:
        world.stop(case)


def _case_of(item: pytest.Item) -> Case | None:
    """Its case. Tests elsewhere have parameters called "case" too, of other types."""
    parameter = getattr(getattr(item, "callspec", None), "params", {}).get("case")
    return parameter if isinstance(parameter, Case) else None


@pytest.fixture(autouse=True)
def nothing_is_logged(world: World) -> Iterator[None]:
    """The bridge fails by itself in no test."""
    before = world.bridge_log.stat().st_size
    yield
    logged = world.bridge_log.read_text()[before:]
    if "Traceback" in logged:
        pytest.fail(logged)
