"""A model of the corpus whose start fails: why is on the page of its service, and in the REST API."""

from __future__ import annotations

import html

import pytest

from services import states
from tests.corpus.all import CASES
from tests.integration.corpus.world import World

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.xdist_group("corpus")]
FAILING = [case for case in CASES if case.fails and not case.like]


def test_the_reason_is_said(world: World) -> None:
    [model] = FAILING
    service = world.start(model)
    try:
        assert service.state == states.FAILED, world.log(model)
        assert service.message == f"Replica 0 could not start: {model.fails}"
        page = world.browser.get(f"/services/{model.name}/").content.decode()
        assert model.fails in html.unescape(page)
        assert world.browser.get(f"/api/v1/services/{model.name}/").json()["message"] == service.message
    finally:
        world.stop(model)
