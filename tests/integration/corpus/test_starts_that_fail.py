"""Each model of the corpus whose start fails: why is on the page of its service, and in the REST API."""

from __future__ import annotations

import html
from collections.abc import Iterator

import pytest

from services import states
from services.models import Service
from tests.corpus.all import CASES
from tests.corpus.case import Case
from tests.integration.corpus.world import World

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.xdist_group("corpus")]
FAILING = [case for case in CASES if case.fails]


@pytest.fixture(scope="package")
def started(world: World) -> Iterator[World]:
    """With all of them, which start together."""
    for case in FAILING:
        world.start(case, [other for other in FAILING if other is not case])
    yield world
    for case in FAILING:
        world.stop(case)


@pytest.mark.parametrize("model", FAILING, ids=lambda case: case.name)
def test_the_reason_is_said(started: World, model: Case) -> None:
    service = Service.objects.get(name=model.name)
    assert service.state == states.FAILED, started.log(model)
    assert service.message == f"Replica 0 could not start: {model.fails}"
    page = started.browser.get(f"/services/{model.name}/").content.decode()
    assert model.fails in html.unescape(page)
    assert started.browser.get(f"/api/v1/services/{model.name}/").json()["message"] == service.message
