"""Each model of the corpus that is served, over each protocol, in the panel, and by the snippets of its page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.models import Service
from tests.corpus.case import Case
from tests.integration.corpus import calls, pages, v1
from tests.integration.corpus.world import World

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.xdist_group("corpus")]


def test_it_answers_v2_in_json(world: World, case: Case, ready: Service) -> None:
    for request in case.requests:
        calls.send_json(world.server, case, request)


def test_it_answers_tritons_http_client(world: World, case: Case, ready: Service) -> None:
    for request in case.requests:
        calls.send_http(world.server, case, request)


def test_it_answers_tritons_grpc_client(world: World, case: Case, ready: Service) -> None:
    for request in case.requests:
        calls.send_grpc(world.server, case, request)


def test_it_answers_typed_contents_over_grpc(world: World, case: Case, ready: Service) -> None:
    for request in case.requests:
        calls.send_contents(world.server, case, request)


def test_triton_itself_answers_the_same(world: World, case: Case, ready: Service) -> None:
    replica = world.replica(case)
    for send in (calls.send_json, calls.send_http, calls.send_grpc, calls.send_contents):
        for request in case.requests:
            send(replica, case, request)


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
