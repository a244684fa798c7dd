"""Pages of other origins: what a service that names them answers to a browser, and that no other service does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.envoy import names
from services.gateway.snapshot import GatewayService
from tests.integration.gateway.doors import BOTH, CHAT, EMBEDDINGS, KEY, Doors, open_doors
from tests.servers.gateway.rig import Answer, until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
APP, LOCAL, EVIL = "https://app.example", "http://localhost:3000", "https://evil.example"
ORIGINS = {"llama": (APP,), "mnist": (APP, LOCAL), "open-text": ("*",)}
INFER, PREDICT, HELLO = "/v2/models/mnist/infer", "/v1/models/mnist:predict", {"model": "llama", "messages": []}
ASKED = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,inference-header-content-length"
CORS = ("access-control-allow-origin", "access-control-expose-headers", "vary")
POSTED = [INFER, PREDICT, f"/services/mnist{INFER}", f"/services/llama{CHAT}", "/v2/models/mnist/versions/1/infer"]
READ = [
    "/v2/models/mnist",
    "/v2/models/mnist/ready",
    "/v1/models/llama",
    "/v1/models/llama:french",
    "/v2/models/llama",
    "/v2/models/llama%3Afrench/ready",
]


def with_origins(doors: Doors, **origins: tuple[str, ...]) -> None:
    def named(service: GatewayService) -> GatewayService:
        return replace(service, cors_origins=origins.get(service.name, ()))

    services = tuple(named(service) for service in doors.snapshot.services)
    waiting = replace(snapshots.waiting("slow"), cors_origins=(APP,))
    doors.gateway.publish(replace(doors.snapshot, services=(*services, waiting)))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """`doors`, some of whose services name origins."""
    with open_doors(tmp_path_factory.mktemp("d")) as doors:
        with_origins(doors, **{**ORIGINS, "open-text": ()})
        until(lambda: preflight(doors, INFER).status == 204)
        yield doors


def preflight(doors: Doors, path: str, origin: str = APP, method: str = "POST", **more: str) -> Answer:
    headers = {
        "Origin": origin,
        "Access_Control_Request_Method": method,
        "Access_Control_Request_Headers": ASKED,
        **more,
    }
    return doors.gateway.call("OPTIONS", path, **headers)


def is_allowed(answer: Answer, origin: str = APP) -> bool:
    return answer.headers.get(CORS[0]) == origin


@pytest.mark.parametrize("path", [*POSTED, *READ])
def test_a_preflight_is_answered_without_a_key_and_reaches_nobody(pages: Doors, path: str) -> None:
    before = pages.count()
    answer = preflight(pages, path, method="GET" if path in READ else "POST")
    assert (answer.status, answer.body) == (204, b"")
    assert is_allowed(answer)
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert answer.headers["access-control-allow-headers"] == ASKED
    assert answer.headers["access-control-max-age"] == "600"
    assert "Origin" in answer.headers["vary"]
    assert not is_allowed(preflight(pages, path, EVIL), EVIL)
    assert "access-control-allow-headers" not in preflight(pages, path, Access_Control_Request_Headers="").headers
    assert pages.count() == before


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/small/infer",
        "/services/words" + CHAT,
        "/services/words/v1/models",
        "/v2/models/nope",
        "/v2/models/mnist:x",
        "/v1/models/small:predict",
        "/services/small" + INFER,
        "/v2/models/_preflight:mnist",
        "/v2/models/Mnist/infer",
    ],
)
def test_a_preflight_of_any_other_service_is_404(pages: Doors, path: str) -> None:
    before = pages.count()
    answer = preflight(pages, path)
    assert (answer.status, answer.error) == (404, "This path or method is not served here.")
    assert preflight(pages, INFER, Host="small.localhost").status == 404
    assert pages.count() == before


@pytest.mark.parametrize("path", [*POSTED, *READ, CHAT, "/v1/models", "/v2/repository/index", "/", "/v2/health/ready"])
def test_options_that_are_no_preflight_are_404_as_ever(pages: Doors, path: str) -> None:
    for headers in ({}, {"Origin": APP}, {"Access_Control_Request_Method": "POST"}, {"X_API_Key": BOTH}):
        assert pages.gateway.call("OPTIONS", path, **headers).status == 404
    for method in ("PUT", "DELETE", "PATCH", "HEAD", "TRACE"):
        preflight_headers = {"Origin": APP, "Access_Control_Request_Method": method}
        assert pages.gateway.call(method, path, X_API_Key=BOTH, **preflight_headers).status == 404


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/models/stats", "/v1/load_lora_adapter", "/metrics"])
def test_a_closed_path_has_no_preflight(pages: Doors, path: str) -> None:
    assert preflight(pages, path).status == 404


def test_a_page_of_a_named_origin_may_read_the_answer_and_no_other(pages: Doors) -> None:
    for path, body in ((INFER, {}), (PREDICT, {}), (CHAT, HELLO), (f"/services/llama{CHAT}", HELLO)):
        answer = pages.post(path, body, key=BOTH, Origin=APP)
        assert (answer.status, is_allowed(answer)) == (200, True)
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert {"inference-header-content-length", "retry-after", "x-request-id"} <= set(exposed.split(", "))
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
        for origin in (EVIL, "null", APP + ":443", "http://app.example", APP + ".evil.example", "https://APP.example"):
            answer = pages.post(path, body, key=BOTH, Origin=origin)
            assert (answer.status, set(CORS) & set(answer.headers)) == (200, set()), origin
    assert is_allowed(pages.post(INFER, {}, key=BOTH, Origin=LOCAL), LOCAL)
    assert not is_allowed(pages.post(CHAT, HELLO, key=BOTH, Origin=LOCAL), LOCAL)
    for path in READ:
        assert is_allowed(pages.gateway.call("GET", path, X_API_Key=BOTH, Origin=APP))
    assert not set(CORS) & set(pages.post(INFER, {}, key=BOTH).headers)


def test_a_stream_may_be_read_as_well(pages: Doors) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", pages.gateway.port, timeout=10)
    headers = {"X-API-Key": KEY, "Content-Type": "application/json", "Origin": APP}
    connection.request("POST", CHAT, json.dumps({**HELLO, "stream": True}), headers)
    answer = connection.getresponse()
    assert answer.getheader(CORS[0]) == APP
    assert answer.read().endswith(b"data: [DONE]\n\n")
    connection.close()


REFUSALS: list[tuple[str, Any, dict[str, str], int]] = [
    (INFER, {}, {"key": "isk_bad"}, 401),
    (CHAT, HELLO, {"key": "isk_bad"}, 401),
    (INFER, {}, {"key": snapshots.STRANGER}, 403),
    (CHAT, HELLO, {"key": snapshots.STRANGER}, 403),
    (INFER, b"[" * 100, {}, 400),
    (CHAT, b"nonsense", {}, 400),
    (CHAT, {**HELLO, "n": 99}, {}, 400),
    (CHAT, {**HELLO, "model": "nope"}, {}, 404),
    (INFER, {}, {"Content_Encoding": "gzip"}, 415),
    (CHAT, HELLO, {"Content_Type": "text/plain"}, 415),
    (INFER, b" " * (17 << 20), {}, 413),
    (PREDICT, b" " * (17 << 20), {}, 413),
    (INFER, {}, {"mm_vmodel_id": "small"}, 400),
    ("/v2/models/slow/infer", {}, {}, 503),
]


@pytest.mark.parametrize(("path", "body", "headers", "status"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_page_may_read_why_it_is_refused(
    pages: Doors, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    answer = pages.post(path, body, **{"key": BOTH, "Origin": APP, **headers})
    assert (answer.status, is_allowed(answer)) == (status, True), answer.body
    assert answer.error
    answer = pages.post(path, body, **{"key": BOTH, "Origin": EVIL, **headers})
    assert (answer.status, set(CORS) & set(answer.headers)) == (status, set())


def test_a_limit_of_requests_may_be_read(pages: Doors) -> None:
    answers = [pages.gateway.call("GET", "/v2/models/mnist", X_API_Key=snapshots.LIMITED, Origin=APP) for _ in range(5)]
    assert answers[-1].status == 429
    assert all(is_allowed(answer) for answer in answers)
    assert {"retry-after", "x-ratelimit-limit"} <= set(answers[-1].headers)


def test_a_service_that_names_no_origin_stays_closed_to_pages(pages: Doors) -> None:
    for path, body in (
        ("/v2/models/small/infer", {}),
        ("/services/words/v1/completions", {"prompt": "a"}),
        ("/v1/completions", {"model": "words", "prompt": "a"}),
        (EMBEDDINGS, {"model": "vectors"}),
    ):
        answer = pages.post(path, body, key=BOTH, Origin=APP)
        assert (answer.status, set(CORS) & set(answer.headers)) == (200, set()), path
        answer = pages.post(path, body, key="isk_bad", Origin=APP)
        assert answer.status == 401
        if path != "/v1/completions" and path != EMBEDDINGS:  # whose body would have named a service
            assert not set(CORS) & set(answer.headers)
    assert not set(CORS) & set(pages.post("/v2/models/small/infer", {}, key=snapshots.STRANGER, Origin=APP).headers)


def test_paths_that_all_services_share_are_open_to_what_some_service_names(pages: Doors) -> None:
    for path, origin in ((CHAT, APP), (CHAT, LOCAL), (EMBEDDINGS, APP), ("/v1/models", APP)):
        answer = preflight(pages, path, origin)
        assert (answer.status, is_allowed(answer, origin)) == (204, True)
        assert not is_allowed(preflight(pages, path, EVIL), EVIL)
    answer = pages.gateway.call("GET", "/v1/models", X_API_Key=BOTH, Origin=APP)
    assert (answer.status, is_allowed(answer)) == (200, True)
    answer = preflight(pages, CHAT, Host="words.localhost")
    assert answer.status == 404
    assert is_allowed(preflight(pages, CHAT, Host="llama.localhost"))


def test_no_backend_is_told_of_a_page(pages: Doors) -> None:
    pages.post(CHAT, HELLO, key=BOTH, Origin=APP)
    pages.post(PREDICT, {}, key=BOTH, Origin=APP)
    for call in (pages.backend.last(), pages.bridge.last()):
        assert "origin" not in call["headers"]


FAILS = "function envoy_on_request(handle) error('broken') end function envoy_on_response(handle) error('broken') end"


@pytest.mark.parametrize("missing", [False, True])
def test_without_its_script_no_page_reads_anything_and_no_preflight_gets_further(
    fresh_doors: Doors, missing: bool
) -> None:
    def change(manager: dict[str, Any]) -> None:
        [own] = [each for each in manager["http_filters"] if each["name"] == names.CORS]
        script = own["typed_config"]["extension_config"]["typed_config"]
        for source in (script["default_source_code"], *script["source_codes"].values()):
            source["inline_string"] = FAILS
        if missing:
            manager["http_filters"].remove(own)

    with_origins(fresh_doors, **ORIGINS)
    fresh_doors.gateway.restart(change)
    before = fresh_doors.count()
    for path_of in (INFER, CHAT, "/services/open-text" + CHAT):
        assert not set(CORS) & set(preflight(fresh_doors, path_of).headers)
    assert fresh_doors.count() == before
    answer = fresh_doors.post(INFER, {}, key=BOTH, Origin=APP)
    assert (answer.status, set(CORS) & set(answer.headers)) == (200, set())
    assert fresh_doors.post(INFER, {}, key="isk_bad", Origin=APP).status == 401


def test_a_star_is_every_page_and_none_is_off(fresh_doors: Doors) -> None:
    def status(path: str) -> int:
        return preflight(fresh_doors, path).status

    for path in (CHAT, INFER, "/services/open-text" + CHAT):
        assert status(path) == 404
        assert not set(CORS) & set(fresh_doors.post(path, HELLO, key=BOTH, Origin=APP).headers)
    with_origins(fresh_doors, **{"open-text": ("*",)})
    until(lambda: status("/services/open-text" + CHAT) == 204)
    for origin in (APP, EVIL, "null"):
        assert is_allowed(preflight(fresh_doors, "/services/open-text" + CHAT, origin), "*")
        headers = {"Origin": origin, "Content_Type": "application/json"}
        sent = json.dumps({**HELLO, "model": "open-text"}).encode()
        answer = fresh_doors.gateway.call("POST", CHAT, sent, **headers)
        assert (answer.status, is_allowed(answer, "*")) == (200, True)
        assert not set(CORS) & set(fresh_doors.post(CHAT, HELLO, Origin=origin).headers)
    with_origins(fresh_doors)
    fresh_doors.gateway.publish(fresh_doors.snapshot)
    until(lambda: status("/services/open-text" + CHAT) == 404)
