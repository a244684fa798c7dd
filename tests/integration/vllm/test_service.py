"""A language model as a service of the whole stack: made over the REST API, asked through the gateway."""

from __future__ import annotations

import os
import signal
from typing import Any

import grpc
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.grpc import service_pb2, service_pb2_grpc

from console.first_run import example
from services.engines.local import LocalEngine
from services.frameworks import registry
from services.specs import process_name
from tests.clients import call
from tests.integration.engine_home import child_named, family, gone, server_of, wait_for
from tests.integration.live import Live, send
from tests.servers import vllm
from tests.servers.vllm import QUESTION, chat_body, text_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), pytest.mark.xdist_group("live-text")]
FRAMEWORK = registry.get("vllm")
EMBEDDER = "tiny-embedder"
PIRATE = f"{vllm.NAME}:{vllm.ADAPTER}"


def infer_request(model: str) -> Any:
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="prompt", datatype="BYTES", shape=[1]).contents.bytes_contents.append(QUESTION.encode())
    request.parameters["temperature"].double_param = 0
    return request


def text_in(answer: Any) -> str:
    return b"".join(output.contents.bytes_contents[0] for output in answer.outputs).decode()


def test_its_adapter_answers_over_v2_as_well(live_llm: Live) -> None:
    metadata = (("authorization", f"Bearer {live_llm.key}"),)
    with grpc.insecure_channel(live_llm.grpc_target) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stream = channel.unary_stream(
            "/inference.GRPCInferenceService/ModelInferStream",
            service_pb2.ModelInferRequest.SerializeToString,
            service_pb2.ModelInferResponse.FromString,
        )
        for model, answer in ((PIRATE, vllm.PIRATE_ANSWER), (vllm.NAME, vllm.ANSWER)):
            whole = stub.ModelInfer(infer_request(model), metadata=metadata, timeout=120)
            assert (text_in(whole), whole.model_name) == (answer, model)
            pieces = list(stream(infer_request(model), metadata=metadata, timeout=120))
            assert "".join(map(text_in, pieces)) == answer
            assert len(pieces) > 3
    client = tritonclient.grpc.InferenceServerClient(live_llm.grpc_target)
    headers = {"authorization": f"Bearer {live_llm.key}"}
    assert client.is_model_ready(PIRATE, headers=headers)
    assert client.get_model_metadata(PIRATE, headers=headers).name == PIRATE
    client.close()
    rest = tritonclient.http.InferenceServerClient(live_llm.gateway.removeprefix("http://"))
    assert rest.is_model_ready(PIRATE, headers=headers)
    assert rest.get_model_metadata(PIRATE, headers=headers)["name"] == PIRATE
    rest.close()


def test_an_adapter_that_it_has_not_is_not_found_anywhere(live_llm: Live) -> None:
    headers = {"Authorization": f"Bearer {live_llm.key}"}
    name, words = f"{vllm.NAME}:nobody", f"The service {vllm.NAME} has no adapter named nobody: it has {vllm.ADAPTER}."
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/ready", f"/v2/models/{vllm.NAME}%3Anobody/versions/1"):
        answer = send(f"{live_llm.gateway}{path}", headers=headers)
        assert (answer.status, answer.body) == (404, {"error": words})
    answer = send(f"{live_llm.gateway}/v1/chat/completions", chat_body(name), headers=headers)
    assert (answer.status, name in answer.body["error"]["message"]) == (404, True)
    assert send(f"{live_llm.gateway}/v1/models/{name}", headers=headers).status == 404
    with grpc.insecure_channel(live_llm.grpc_target) as channel, pytest.raises(grpc.RpcError) as caught:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ModelInfer(infer_request(name), metadata=(("x-api-key", live_llm.key),), timeout=60)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, words)


def test_a_key_for_the_service_opens_its_adapters_and_no_other_service(live_llm: Live) -> None:
    body = {"name": "adapters", "scopes": ["infer"], "services": [vllm.NAME], "team": "default"}
    key = live_llm.api("keys/", body).body["key"]

    def status(model: str) -> int:
        return send(f"{live_llm.gateway}/v2/models/{model}/ready", headers={"X-API-Key": key}).status

    assert live_llm.until(lambda: status(PIRATE), (200).__eq__, 10) == 200
    assert status(example.NAME) == 403
    answer = send(f"{live_llm.gateway}/v1/chat/completions", chat_body(PIRATE), headers={"X-API-Key": key})
    assert text_of(answer.body) == vllm.PIRATE_ANSWER


def test_the_first_logprobs_take_no_replica_away(live_llm: Live) -> None:
    headers = {"Authorization": f"Bearer {live_llm.key}"}
    [before] = live_llm.service(vllm.NAME)["replica_list"]
    body = chat_body(logprobs=True, top_logprobs=2)
    answer = send(f"{live_llm.gateway}/v1/chat/completions", body, headers=headers, timeout=300)
    assert answer.status == 200, answer.body
    [after] = live_llm.service(vllm.NAME)["replica_list"]
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)
    events = [event["message"] for event in live_llm.api(f"services/{vllm.NAME}/events/").body["results"]]
    assert not [message for message in events if "hung" in message]


def test_what_does_not_fit_the_model_is_refused_before_anything_starts(live_llm: Live) -> None:
    body = {
        "name": "too-long",
        "framework": "vllm",
        "dataset": "samples",
        "model_path": vllm.NAME,
        "queue": "default",
        "framework_config": {"max_model_len": 1 << 20},
    }
    answer = live_llm.api("services/", body, method="POST")
    assert answer.status == 400
    assert "choose at most that" in str(answer.body["errors"]["model_path"])


def vectors(live: Live) -> list[list[float]]:
    """None while the service does not answer."""
    body = {"model": EMBEDDER, "input": ["hello", "world"]}
    answer = send(f"{live.gateway}/v1/embeddings", body, headers={"Authorization": f"Bearer {live.key}"})
    return [row["embedding"] for row in answer.body["data"]] if answer.status == 200 else []


def processes(live: Live) -> list[int]:
    """The replica's: its keeper, the server, its engine and a worker at least."""
    pids = family(live.stack.pid(process_name(EMBEDDER, 1, 0)))
    assert len(pids) >= 4
    return pids


def test_the_same_model_embeds_and_its_killed_processes_come_back_and_leave_nothing_behind(live_llm: Live) -> None:
    """One test, since each start takes half a minute. The server that is killed itself: see tests.servers.vllm."""
    resources = {"cpu": 0.5, "memory_gib": 2}
    live_llm.create(EMBEDDER, vllm.NAME, framework="vllm", framework_config={"task": "embedding"}, resources=resources)
    live_llm.wait(EMBEDDER, seconds=vllm.START_SECONDS)
    base_url = f"{live_llm.gateway}/v1"
    request = {"base_url": base_url, "key": live_llm.key, "model": EMBEDDER, "input": ["hello", "world"]}
    assert call("openai_client", call="embedding", **request)["sizes"] == [256, 256]
    hello, world = vectors(live_llm)
    assert hello != world

    first = processes(live_llm)
    server = server_of(first[0])
    listeners = LocalEngine(live_llm.stack.home).listeners(process_name(EMBEDDER, 1, 0))
    assert FRAMEWORK.answers(listeners, EMBEDDER, 30)
    server.suspend()
    assert not FRAMEWORK.answers(listeners, EMBEDDER, 0.5)
    server.resume()
    child_named(first[0], "EngineCor").kill()  # the server must not stay "ready" without it
    wait_for(lambda: [pid for pid in first if not gone(pid)], lambda left: not left)

    live_llm.until(lambda: vectors(live_llm), bool, vllm.START_SECONDS)
    second = processes(live_llm)
    assert not set(first) & set(second)
    for pid in second:  # it hangs altogether: no SIGTERM ends it
        os.kill(pid, signal.SIGSTOP)
    live_llm.delete(EMBEDDER)
    assert all(gone(pid) for pid in second)
