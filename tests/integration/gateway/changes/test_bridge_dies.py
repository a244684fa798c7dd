"""The bridge killed under requests: they are refused in their protocol's shape, and nothing else notices."""

from __future__ import annotations

import http.client
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import grpc
import pytest

from tests.integration.gateway.doors import BOTH, CHAT, KEY, Doors
from tests.integration.gateway.stage import infer_request
from tests.integration.gateway.test_bridged import TF, V2, call, predict_request
from tests.servers.gateway.rig import Answer, Bridge, until

pytestmark = pytest.mark.integration
PREDICT = "/v1/models/mnist:predict"
TEXT = infer_request("llama").SerializeToString()
CALLS: list[tuple[str, bytes]] = [
    (TF + "Predict", predict_request("mnist")),
    (TF + "GetModelMetadata", predict_request("mnist")),
    (V2 + "ModelInfer", TEXT),
    (V2 + "ModelInferStream", TEXT),
]


def predict(doors: Doors) -> Answer | None:
    """None for an answer that was cut in its middle."""
    try:
        return doors.gateway.call("POST", PREDICT, b'{"instances":[1]}', X_API_Key=BOTH)
    except http.client.HTTPException:
        return None


def status(doors: Doors) -> int:
    answer = predict(doors)
    return answer.status if answer else 0


def status_of(doors: Doors, method: str, message: bytes) -> grpc.StatusCode:
    try:
        call(doors, method, message)
    except grpc.RpcError as error:
        words = ("answers right now", "may have been carried out")
        assert error.code() is not grpc.StatusCode.UNAVAILABLE or any(each in error.details() for each in words)
        return error.code()
    return grpc.StatusCode.OK


def others_work(doors: Doors) -> bool:
    """What does not go through the bridge."""
    chat = doors.post(CHAT, {"model": "llama", "messages": []}, key=KEY)
    infer = doors.gateway.call("POST", "/v2/models/mnist/infer", b"{}", X_API_Key=BOTH)
    call(doors, V2 + "ModelInfer", infer_request("mnist").SerializeToString())
    return (chat.status, infer.status) == (200, 200)


def test_a_bridge_that_was_killed_harms_nobody_and_comes_back(fresh_doors: Doors) -> None:
    doors = fresh_doors
    stop = Event()
    rest: list[Answer | None] = []
    text: list[grpc.StatusCode] = []
    other: list[bool] = []

    def keep(seen: list[Any], look: Any) -> None:
        while not stop.is_set():
            seen.append(look())

    with ThreadPoolExecutor(3) as pool:
        under_way = [
            pool.submit(keep, rest, lambda: predict(doors)),
            pool.submit(keep, text, lambda: status_of(doors, *CALLS[2])),
            pool.submit(keep, other, lambda: others_work(doors)),
        ]
        try:
            until(lambda: doors.bridge.count() > 20)
            doors.bridge.kill()
            until(lambda: status(doors) == 503)
            for path in (PREDICT, "/v1/models", "/v1/models/llama", "/v2/models/llama"):
                method = "POST" if path == PREDICT else "GET"
                answer = doors.gateway.call(method, path, b"{}" if path == PREDICT else None, X_API_Key=BOTH)
                error = json.loads(answer.body)["error"]
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                sentence = error["message"] if path in ("/v1/models", "/v1/models/llama") else error
                assert "answers right now" in sentence
            for method, message in CALLS:
                with pytest.raises(grpc.RpcError, match="answers right now") as caught:
                    call(doors, method, message)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert others_work(doors)
            # On a busy machine one of their requests may be tried again for all of that time.
            until(lambda: any(answer and answer.status == 503 for answer in rest))
            until(lambda: grpc.StatusCode.UNAVAILABLE in text)
            shutil.rmtree(doors.bridge.directory)
            doors.bridge = Bridge.start(doors.bridge.directory)
            until(lambda: status(doors) == 200)
            for method, message in CALLS:
                assert status_of(doors, method, message) is grpc.StatusCode.OK
        finally:
            stop.set()
            doors.bridge.kill()
    for each in under_way:
        each.result()
    whole = [answer for answer in rest if answer]
    assert len(whole) >= len(rest) - 1  # of the moment of its death
    assert {answer.status for answer in whole} == {200, 503}
    assert all(json.loads(answer.body)["error"] for answer in whole if answer.status == 503)
    assert len([code for code in text if code not in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)]) <= 1
    assert len(other) > 3
    assert all(other)
    assert doors.gateway.process is not None
    assert doors.gateway.process.poll() is None
