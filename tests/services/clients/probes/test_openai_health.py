"""Readiness of a server that speaks OpenAI's protocol, against servers that are wrong somehow. The real one:
tests/integration/vllm/test_server.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from services.clients.probes import openai_health, prometheus
from services.clients.probes.exchange import ProbeResult
from services.errors import ProbeError
from services.listeners import Address
from tests.services.clients.probes.raw_server import body, serving

HEALTHY = body("")
MODELS = body(json.dumps({"data": [{"id": "chatty"}, {"id": "chatty:pirate"}]}))
NOT_FOUND = body('{"detail": "Not Found"}', "404 Not Found")


@pytest.fixture
def server() -> Iterator[Callable[..., Address]]:
    with serving() as start:
        yield start


def test_a_healthy_server_that_lists_the_model_is_ready(server: Callable[..., Address]) -> None:
    assert openai_health.probe(server(HEALTHY, MODELS), "chatty") == ProbeResult(True, "")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((body("", "503 Service Unavailable"),), "not healthy (status 503)"),
        ((HEALTHY, MODELS.replace(b"chatty", b"others")), "answers for others, others:pirate, not for chatty"),
        ((HEALTHY, body("<html>")), "does not speak OpenAI's protocol"),
        ((HEALTHY, body("[]")), "does not speak OpenAI's protocol"),
        ((HEALTHY, body('{"data": [1]}')), "does not speak OpenAI's protocol"),
        ((HEALTHY, body('{"data": []}', "401 Unauthorized")), "lists no models (status 401)"),
        ((b"SSH-2.0-OpenSSH\r\n",), "does not speak HTTP"),
        ((None,), "did not answer within 0.2 s"),
    ],
)
def test_a_wrong_answer_is_not_ready_and_never_raises(
    server: Callable[..., Address], answers: tuple[bytes | None, ...], message: str
) -> None:
    result = openai_health.probe(server(*answers), "chatty", timeout=0.2)
    assert not result.ready
    assert message in result.message


@pytest.mark.parametrize(
    ("answers", "alive"),
    [
        ((body("{}"),), True),
        ((NOT_FOUND, body("{}")), True),  # it only embeds
        ((NOT_FOUND, NOT_FOUND), True),  # there is no way to ask it
        ((body("{}", "500 Internal Server Error"),), False),
        ((NOT_FOUND, body("{}", "503 Service Unavailable")), False),
        ((None,), False),
        ((NOT_FOUND, None), False),
    ],
)
def test_an_engine_is_alive_when_it_was_asked_and_answered(
    server: Callable[..., Address], answers: tuple[bytes | None, ...], alive: bool
) -> None:
    assert openai_health.answers(server(*answers), "chatty", timeout=0.2) is alive


METRICS = """# HELP vllm:generation_tokens_total Tokens.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="a"} 5.0
vllm:generation_tokens_total{engine="1",model_name="a"} 2.0
# TYPE vllm:generation_tokens_created gauge
vllm:generation_tokens_created{engine="0",model_name="a"} 1.8e+09
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0"} 100.0
# TYPE other_total counter
other_total 1000.0
"""


def test_only_wanted_counters_are_summed(server: Callable[..., Address]) -> None:
    def is_vllm(name: str) -> bool:
        return name.startswith("vllm:")

    assert prometheus.sum_of(METRICS, is_vllm) == 7.0
    assert prometheus.total(server(body(METRICS)), is_vllm) == 7.0


@pytest.mark.parametrize("answer", [NOT_FOUND, body("# TYPE x counter\nx{ 1"), body("x y z")])
def test_a_page_that_is_no_metrics_raises(server: Callable[..., Address], answer: bytes) -> None:
    with pytest.raises(ProbeError):
        prometheus.total(server(answer), lambda name: True)


@pytest.mark.parametrize(
    "answers",
    [
        (body("{}"), body("{}"), NOT_FOUND, MODELS, body("{}")),  # it generates, and has an adapter
        (NOT_FOUND, body("{}")),  # it only embeds
        (NOT_FOUND, NOT_FOUND),
    ],
    ids=["generates", "embeds", "neither"],
)
def test_it_is_warm_when_each_first_use_was_answered(
    server: Callable[..., Address], answers: tuple[bytes | None, ...]
) -> None:
    openai_health.warm_up(server(*answers), "chatty", timeout=5)


def test_it_is_not_warm_when_one_was_not(server: Callable[..., Address]) -> None:
    with pytest.raises(ProbeError, match=r"did not answer within 0\.2 s"):
        openai_health.warm_up(server(body("{}"), None), "chatty", timeout=0.2)


def test_the_values_of_a_histogram_are_counted_too() -> None:
    page = """# TYPE steps histogram
steps_bucket{le="1"} 2
steps_bucket{le="+Inf"} 3
steps_count 3
steps_sum 40
"""
    assert prometheus.sum_of(page, "steps".__eq__) == 3
