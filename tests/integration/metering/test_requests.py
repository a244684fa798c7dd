"""Requests over REST and gRPC through the running stack are counted within seconds, each once, as the client counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from console.first_run import example
from tests.integration.live import Live, send

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]


def fresh_key(live: Live, **more: Any) -> tuple[str, str]:
    """A key that nobody else uses, and its id."""
    body = {"name": "counted", "scopes": ["infer", "read"], **more}
    created = live.api("keys/", body, method="POST")
    assert created.status == 201, created.body
    live.until(lambda: live.infer(key=created.body["key"]).status, lambda status: status != 401)
    key: str = created.body["key"]
    return key, key[4:16]


def used(live: Live, key_id: str, **more: str) -> dict[str, int]:
    query = "&".join(f"{name}={text}" for name, text in {"key": key_id, "group_by": "service", **more}.items())
    points = live.api(f"usage/?{query}").body["results"]
    measures = ("requests", "succeeded", "client_errors", "server_errors", "limited", "cancelled")
    return {name: sum(point["used"][name] for point in points) for name in measures}


def over_grpc(live: Live, key: str, model: str = example.NAME) -> None:
    with tritonclient.grpc.InferenceServerClient(live.grpc_target) as client:
        tensor = tritonclient.grpc.InferInput("predict", [1, 64], "FP32")
        tensor.set_data_from_numpy(np.array([example.PIXELS], dtype=np.float32))
        client.infer(model, [tensor], headers={"x-api-key": key})


def count_again(live: Live) -> None:
    """Until another round of counting is over, which must not add anything to what was counted before."""
    key, key_id = fresh_key(live)
    assert live.infer(key=key).status == 200
    live.until(lambda: used(live, key_id), lambda seen: seen["succeeded"] >= 1)


def test_usage_is_what_the_client_counted(live: Live) -> None:
    key, key_id = fresh_key(live)
    before = live.until(lambda: used(live, key_id), lambda seen: seen["succeeded"] >= 1)
    for _ in range(20):
        assert live.infer(key=key).status == 200
        over_grpc(live, key)
    assert live.infer("no-such-service", key=key).status == 404
    with pytest.raises(InferenceServerException):
        over_grpc(live, key, "no-such-service")
    want = {
        **before,
        "requests": before["requests"] + 42,
        "succeeded": before["succeeded"] + 40,
        "client_errors": before["client_errors"] + 2,
    }
    live.until(lambda: used(live, key_id), lambda seen: seen["requests"] >= want["requests"])
    count_again(live)
    assert used(live, key_id) == want
    assert used(live, key_id, service=example.NAME)["client_errors"] == before["client_errors"]
    rows = {row["prefix"]: row for row in live.api("keys/?page_size=1000").body["results"]}
    assert rows[f"isk_{key_id}"]["last_used_at"] is not None


def test_prometheus_reads_the_same_with_a_key_and_nothing_without(live: Live) -> None:
    live.infer()
    assert send(f"{live.console}/metrics").status == 401

    def requests() -> float:
        answer = send(f"{live.console}/metrics", headers={"Authorization": f"Bearer {live.key}"})
        assert answer.status == 200, answer.body
        lines = answer.body.decode().splitlines()
        mine = [line for line in lines if line.startswith("inference_requests_total{") and f'"{example.NAME}"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in mine)

    first = live.until(requests, lambda seen: seen >= 1)
    live.infer()
    live.until(requests, lambda seen: seen > first)
