"""Usage is what clients counted, to the request, byte and token, whoever is killed while they ask.

The shared stack under steady load; each process of it is killed with kill -9, the log rotated, redis started anew.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from services.errors import GatewayError
from services.gateway.usage_lines import ended
from services.usage import access_log, metering
from tests.integration.engine_home import wait_for
from tests.integration.live import Live
from tests.integration.metering.clients import V1, Chat, Client, Grpc, Rest, Seen, at_work
from tests.servers import vllm

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live-text")]
OUTCOMES = ("succeeded", "client_errors", "server_errors", "limited", "cancelled")
AMOUNTS = ("bytes_in", "bytes_out", "prompt_tokens", "completion_tokens")
KEPT = 1000
"""So many rotated files: the test reads them at the end."""
BLOWS = ("redis", "worker", "web", "gateway", "worker", "gateway")
BETWEEN = 120
"""Answers that the clients have between two blows."""


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Live:
    """With a language model, where vLLM is installed."""
    shared: Live = request.getfixturevalue("live_llm" if has_vllm() else "live")
    return shared


def new_key(live: Live, **limits: int) -> str:
    created = live.api("keys/", {"name": "counted", "scopes": ["infer"], **limits}, method="POST")
    assert created.status == 201, created.body
    key: str = created.body["key"]
    return key


def start(live: Live, *, text: bool) -> list[Client]:
    """A client for each way in, some with keys whose limits send requests other ways. None has asked anything yet."""
    port, at_once = live.stack.gateway_port, {"max_concurrent": 4}
    clients: list[Client] = [
        Rest(port, new_key(live)),
        Rest(port, new_key(live, **at_once)),
        V1(port, new_key(live)),
        Rest(port, new_key(live, rate_limit_per_minute=30)),
        Grpc(port, new_key(live)),
        Grpc(port, new_key(live, **at_once)),
    ]
    if text:
        clients += [Chat(port, new_key(live)), Chat(port, new_key(live, **at_once))]
    last = new_key(live)
    live.until(lambda: live.infer(key=last).status, lambda status: status == 200)
    return clients


def lines(live: Live) -> list[dict[str, Any]]:
    """What all files say. What a killed gateway left unfinished stands in front of the next line."""
    files = metering.log_files(live.stack.home.gateway)
    all_lines = [line for path in files for line in path.read_bytes().splitlines()]
    return [json.loads(line[line.rfind(b'{"') :]) for line in all_lines]


def blow(live: Live, name: str) -> None:
    """Kill one process and wait until it is back. Meanwhile the log of a gateway that is dead gets another name."""
    before = live.stack.kill(name)
    if name == "gateway":
        with suppress(GatewayError):  # nobody is there to be told
            access_log.rotate(live.stack.home.gateway, limit=1, kept=KEPT)
    wait_for(lambda: live.stack.pid(name), lambda pid: pid not in (0, before))


def under_blows(live: Live, clients: list[Client]) -> None:
    """From redis to the gateway, each in the middle of the clients' requests; the log is rotated under them, too."""
    with at_work(clients):
        for name in BLOWS:
            answered(clients, BETWEEN)
            blow(live, name)
        answered(clients, BETWEEN)
        assert access_log.rotate(live.stack.home.gateway, limit=1, kept=KEPT)
        answered(clients, BETWEEN)


def answered(clients: list[Client], more: int) -> None:
    """Wait until each client that can has its share of so many more answers."""
    before = [len(client.answered) for client in clients]
    wait_for(
        lambda: [len(client.answered) - had for client, had in zip(clients, before, strict=True)],
        lambda new: sum(new) > more and all(new),
        60,
    )


def compare(client: Client, mine: list[dict[str, Any]]) -> list[str]:
    """What is different in the client's book and in the log: nothing, but for what a killed gateway was at."""
    logged = {line["request_id"]: line for line in mine}
    wrong = [f"{request_id} came twice" for request_id in client.twice]
    wrong += [f"{len(mine) - len(logged)} are logged twice"] * (len(mine) != len(logged))
    # A kill comes between an answer and its line, or between a line and its answer.
    unlogged, surplus = client.answered.keys() - logged.keys(), logged.keys() - client.answered.keys()
    wrong += [f"{each} is not logged: {client.answered[each]}" for each in unlogged - client.last]
    wrong += [f"{len(surplus)} more are logged, and only {client.cut} were cut"] * (len(surplus) > client.cut)
    both = [(client.answered[each], as_seen(logged[each])) for each in client.answered.keys() & logged.keys()]
    return wrong + [
        f"{seen}, and the log says {logged_line}" for seen, logged_line in both if not same(seen, logged_line)
    ]


def same(seen: Seen, logged: Seen) -> bool:
    """How much of a refused request was read before it was refused is nobody's promise."""
    return (
        seen == logged
        if seen.outcome == "succeeded"
        else (seen.service, seen.outcome) == (logged.service, logged.outcome)
    )


def as_seen(line: dict[str, Any]) -> Seen:
    service = "" if line["service"] in (None, "-") else line["service"]
    return Seen(service, ended(line) or "succeeded", *(line.get(name) or 0 for name in AMOUNTS))


def sums(mine: list[dict[str, Any]]) -> dict[str, int]:
    """What usage must be, if the log is right."""
    all_seen = [as_seen(line) for line in mine]
    ends = Counter(seen.outcome for seen in all_seen)
    amounts = {name: sum(getattr(seen, name) for seen in all_seen) for name in AMOUNTS}
    return {"requests": len(mine), **{name: ends[name] for name in OUTCOMES}, **amounts}


def usage(live: Live, key_id: str) -> dict[str, int]:
    points = live.api(f"usage/?key={key_id}&group_by=service").body["results"]
    return {name: sum(point["used"][name] for point in points) for name in ("requests", *OUTCOMES, *AMOUNTS)}


def test_usage_is_what_the_clients_counted(stack: Live) -> None:
    clients = start(stack, text=has_vllm())
    under_blows(stack, clients)
    agree(stack, clients)


def has_vllm() -> bool:
    try:
        vllm.runtime_root()
    except pytest.skip.Exception:
        return False
    return True


def agree(live: Live, clients: list[Client]) -> None:
    """The clients, the log and the database."""

    def by_key() -> dict[str, list[dict[str, Any]]]:
        log_lines = lines(live)
        return {client.key_id: [line for line in log_lines if line["client"] == client.key_id] for client in clients}

    logged = settled(by_key)
    for client in clients:
        assert compare(client, logged[client.key_id]) == [], type(client).__name__
        want = sums(logged[client.key_id])
        live.until(lambda key_id=client.key_id: usage(live, key_id), lambda seen, want=want: seen == want)  # type: ignore[misc]
    # Another round of counting, which this request shows to be over, must not add anything.
    last = new_key(live)
    live.until(lambda: live.infer(key=last).status, lambda status: status == 200)
    live.until(lambda: usage(live, last[4:16])["succeeded"], bool)
    assert all(usage(live, client.key_id) == sums(logged[client.key_id]) for client in clients)


def settled(read: Callable[[], Any]) -> Any:
    """What is read when it is the same half a second later."""
    while True:
        seen = read()
        time.sleep(0.5)
        if read() == seen:
            return seen
