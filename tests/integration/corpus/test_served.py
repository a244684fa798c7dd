"""Each model of the corpus that callers can tell from others: each protocol, the panel, the snippets of its page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.models import Service
from tests.corpus.case import Case
from tests.integration.corpus import calls, pages, v1
from tests.integration.corpus.world import World

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.xdist_group("corpus")]


@pytest.mark.parametrize("send", [calls.send_json, calls.send_http, calls.send_grpc, calls.send_contents])
def test_it_answers_over_v2_as_triton_itself_does(world: World, case: Case, ready: Service, send: calls.Send) -> None:
    with world.replica(case) as triton:
        for server in (world.server, triton):
            for request in case.requests:
                send(server, case, request)


def test_it_answers_kserve_v1(world: World, case: Case, ready: Service) -> None:
    requests = [request for request in case.requests if case.has_v1 and request.fits_v1]
    for request in requests:
        v1.send_columns(world.server, case, request)
        if case.has_rows:
            v1.send_rows(world.server, case, request)
    for exchange in case.v1:
        v1.send_own(world.server, case, exchange)


def test_the_panel_can_be_sent_as_it_stands(world: World, case: Case, ready: Service) -> None:
    pages.send_panel(world, case)


def test_each_snippet_of_its_page_runs_as_printed(world: World, case: Case, ready: Service, tmp_path: Path) -> None:
    snippets = pages.snippets(world, case)
    assert snippets

    def run(name: str) -> None:
        directory = tmp_path / name
        directory.mkdir()
        pages.check(name, pages.run(world, snippets[name], name, directory), directory)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, snippets))
