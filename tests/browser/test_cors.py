"""A page of another origin calls the gateway with fetch, in a real Chromium: what its service allows, nothing else."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import PATIENCE
from tests.integration.gateway.access.test_cors import INFER, preflight, with_origins
from tests.integration.gateway.doors import BOTH, CHAT, Doors, open_doors
from tests.servers.gateway.rig import until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("live")]
CALL = """async ({url, method, headers, body}) => {
  try {
    const answer = await fetch(url, {method, headers, body});
    const told = Object.fromEntries(["retry-after", "x-request-id"].map(name => [name, answer.headers.get(name)]));
    return {status: answer.status, text: await answer.text(), ...told};
  } catch (error) {
    return {status: 0, text: String(error)};
  }
}"""
HELLO = '{"model":"llama","messages":[],"stream":true}'
HEADERS = {
    "authorization": f"Bearer {BOTH}",
    "content-type": "application/json",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
}


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """The port of a web site with one page. It has two origins: by its address, and as localhost."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>a page</title><link rel=icon href=data:,>")

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory, site: int) -> Iterator[Doors]:
    """The services llama and mnist name the origin of the site's address, and words names none."""
    origin = f"http://127.0.0.1:{site}"
    with open_doors(tmp_path_factory.mktemp("d")) as entered:
        with_origins(entered, llama=(origin,), mnist=(origin,))
        until(lambda: preflight(entered, INFER, origin).status == 204)
        yield entered


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def call(page: Page, doors: Doors, path: str, method: str = "POST", body: str | None = "{}", **headers: str) -> Any:
    url = f"http://{doors.gateway.address}{path}"
    return page.evaluate(CALL, {"url": url, "method": method, "headers": {**HEADERS, **headers}, "body": body})


def test_a_page_of_a_named_origin_calls_the_service(page: Page, doors: Doors, site: int) -> None:
    page.goto(f"http://127.0.0.1:{site}/")
    for path, method, body in (
        (INFER, "POST", "{}"),
        (CHAT, "POST", HELLO),
        (f"/services/llama{CHAT}", "POST", HELLO),
        ("/v2/models/mnist", "GET", None),
        ("/v1/models", "GET", None),
    ):
        answer = call(page, doors, path, method, body)
        assert answer["status"] == 200, answer
        assert answer["x-request-id"]
    assert call(page, doors, CHAT, body=HELLO)["text"].endswith("data: [DONE]\n\n")
    length = {"inference-header-content-length": "2", "content-type": "application/octet-stream"}
    assert call(page, doors, INFER, **length)["status"] == 200


def test_it_may_read_why_it_is_refused(page: Page, doors: Doors, site: int) -> None:
    page.goto(f"http://127.0.0.1:{site}/")
    refused = call(page, doors, INFER, authorization="Bearer isk_bad")
    assert (refused["status"], "valid API key" in refused["text"]) == (401, True)
    refused = call(page, doors, "/v2/models/slow/infer")
    assert refused["status"] == 0, "a service that is not ready and names no origin of this site"
    refused = call(page, doors, CHAT, body="nonsense")
    assert (refused["status"], "invalid_request_error" in refused["text"]) == (400, True)


def test_a_page_of_any_other_origin_reads_nothing(page: Page, doors: Doors, site: int) -> None:
    page.goto(f"http://localhost:{site}/")
    before = len(doors.backend.seen())
    for path, method, body in ((INFER, "POST", "{}"), (CHAT, "POST", HELLO), ("/v1/models", "GET", None)):
        answer = call(page, doors, path, method, body)
        assert (answer["status"], "Failed to fetch" in answer["text"]) == (0, True)
    assert len(doors.backend.seen()) == before


def test_a_service_that_names_no_origin_is_closed_to_the_named_page_too(page: Page, doors: Doors, site: int) -> None:
    page.goto(f"http://127.0.0.1:{site}/")
    before = len(doors.backend.seen())
    for path in ("/v2/models/small/infer", "/services/words/v1/completions"):
        assert call(page, doors, path, body='{"model":"words","prompt":"a"}')["status"] == 0
    assert len(doors.backend.seen()) == before
    # A path that services share: it is called, since its preflight does not tell which, and not to be read.
    assert call(page, doors, "/v1/completions", body='{"model":"words","prompt":"a"}')["status"] == 0
