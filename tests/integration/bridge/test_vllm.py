"""Text over V2 gRPC through the real bridge to the real vLLM, and what happens when one side goes away."""

from __future__ import annotations

import re
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.integration.bridge.rig import Bridge, entry, running
from tests.integration.engine_home import wait_for
from tests.ports import free_ports
from tests.servers.vllm import ANSWER, QUESTION, SHARED, RunningVllm

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("vllm")]

LONG = 240
"""Tokens of an answer that takes a while."""
TO_LLM = (("x-console-service", SHARED),)


@pytest.fixture(scope="module")
def bridge(llama_server: RunningVllm) -> Iterator[Bridge]:
    services = {
        SHARED: entry("vllm", task="chat", max_model_len=256),
        "waiting": entry("vllm", uid="18", task="chat", ready=False),
        "gone": entry("vllm", uid="19", task="chat"),
    }
    with running(services, {SHARED: llama_server.listeners.http.port, "gone": free_ports(1)[0]}) as process:
        yield process


@pytest.fixture
def own_bridge(bridge: Bridge) -> Iterator[Bridge]:
    """For tests that change or end it: afterwards it is what it was."""
    services = bridge.services
    yield bridge
    bridge.services = services
    bridge.publish()
    assert bridge.process is not None
    if bridge.process.poll() is not None:
        bridge.start()


def question(text: str = QUESTION, **parameters: Any) -> Any:
    """As the documentation of GRPC-KServe sends it: the prompt as code points, max_tokens as a string."""
    message = service_pb2.ModelInferRequest(model_name=SHARED, model_version="0")
    message.inputs.add(name="prompt").contents.int_contents.extend(map(ord, text))
    for name, value in {"max_tokens": "500", "temperature": "0", **parameters}.items():
        message.parameters[name].string_param = str(value)
    return message


def long_question() -> Any:
    return question(max_tokens=LONG, min_tokens=LONG, ignore_eos=True)


def infer(channel: grpc.Channel, request: Any, **options: Any) -> tuple[Any, dict[str, str]]:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    response, call = stub.ModelInfer.with_call(request, **{"metadata": TO_LLM, "timeout": 60, **options})
    return response, dict(call.trailing_metadata())


def stream(channel: grpc.Channel, request: Any, **options: Any) -> Any:
    method = "/inference.GRPCInferenceService/ModelInferStream"
    rpc = channel.unary_stream(
        method, service_pb2.ModelInferRequest.SerializeToString, service_pb2.ModelInferResponse.FromString
    )
    return rpc(request, **{"metadata": TO_LLM, "timeout": 60, **options})


def text_of(*responses: Any) -> str:
    return "".join(chr(point) for response in responses for point in response.outputs[0].contents.int_contents)


def metric(llama_server: RunningVllm, name: str) -> float:
    with urllib.request.urlopen(f"{llama_server.url}/metrics", timeout=10) as answer:
        return sum(map(float, re.findall(rf"^vllm:{name}{{.*?}} (.*)$", answer.read().decode(), re.MULTILINE)))


def test_a_question_in_code_points_gets_its_answer_in_code_points(bridge: Bridge) -> None:
    with bridge.channel() as channel:
        response, trailing = infer(channel, question())
    assert text_of(response) == ANSWER
    assert response.parameters["finish_reason"].string_param == "stop"
    assert int(trailing["x-prompt-tokens"]) > 0
    assert int(trailing["x-completion-tokens"]) > 0


def test_the_stream_says_the_same_token_by_token_with_the_same_usage(bridge: Bridge) -> None:
    with bridge.channel() as channel:
        _, trailing = infer(channel, question())
        rpc = stream(channel, question())
        responses = list(rpc)
        assert text_of(*responses) == ANSWER
        assert len(responses) > 3
        assert dict(rpc.trailing_metadata()) == trailing


def test_raw_bytes_and_bytes_are_answered_alike(bridge: Bridge) -> None:
    raw, typed = question(""), question("")
    raw.inputs[0].datatype = "UINT8"
    raw.inputs[0].ClearField("contents")
    raw.raw_input_contents.append(QUESTION.encode())
    typed.inputs[0].contents.bytes_contents.append(QUESTION.encode())
    with bridge.channel() as channel:
        assert infer(channel, raw)[0].raw_output_contents[0] == ANSWER.encode()
        assert infer(channel, typed)[0].outputs[0].contents.bytes_contents[0] == ANSWER.encode()


def test_refusals_have_their_codes_in_both_calls(bridge: Bridge) -> None:
    unknown, cold, other = question(prompt_embeds="x"), question(temperature=-1), question()
    other.model_name = "other"
    cases = [
        (unknown, SHARED, "INVALID_ARGUMENT", "Unknown parameter prompt_embeds."),
        (cold, SHARED, "INVALID_ARGUMENT", "temperature must be non-negative"),
        (other, SHARED, "NOT_FOUND", "There is no model other here: this is the service"),
        (question("x " * 3000), SHARED, "INVALID_ARGUMENT", "context length"),
    ]
    gone = question()
    gone.model_name = "gone"
    cases.append((gone, "gone", "UNAVAILABLE", "cannot be reached"))
    with bridge.channel() as channel:
        for request, service, code, words in cases:
            for call in (infer, lambda *given, **options: list(stream(*given, **options))):
                with pytest.raises(grpc.RpcError) as caught:
                    call(channel, request, metadata=(("x-console-service", service),))
                assert (caught.value.code().name, words in caught.value.details()) == (code, True), caught.value
    assert "Traceback" not in bridge.log


def test_the_model_is_described_and_its_readiness_told(bridge: Bridge) -> None:
    with bridge.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelReady(service_pb2.ModelReadyRequest(name=SHARED), metadata=TO_LLM).ready
        metadata = stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=SHARED), metadata=TO_LLM)
        assert (metadata.name, metadata.inputs[0].name, metadata.outputs[0].name) == (SHARED, "prompt", "text")
        waiting = (("x-console-service", "waiting"),)
        assert not stub.ModelReady(service_pb2.ModelReadyRequest(name="waiting"), metadata=waiting).ready
    assert bridge.get(f"/v2/models/{SHARED}", SHARED).data["inputs"] == [
        {"name": "prompt", "datatype": "BYTES", "shape": [1]}
    ]
    assert bridge.get(f"/v2/models/{SHARED}/ready", SHARED).status == 200
    refused = bridge.get("/v2/models/waiting/ready", "waiting")
    assert (refused.status, refused.data) == (503, {"error": "The service waiting is not ready."})


def test_the_catalogue_follows_the_table(own_bridge: Bridge) -> None:
    caller = "abcdefghijkl;infer;svc=17;"
    assert own_bridge.get("/v1/models", caller=caller).data["models"] == [SHARED]
    own_bridge.services = {name: {**row, "adapters": ["pirate"]} for name, row in own_bridge.services.items()}
    own_bridge.publish()
    both = [SHARED, f"{SHARED}:pirate"]
    wait_for(lambda: own_bridge.get("/v1/models", caller=caller).data["models"], both.__eq__)
    assert own_bridge.get(f"/v1/models/{SHARED}:pirate", caller=caller).data["ready"]
    assert own_bridge.get("/v1/models/waiting", caller="k;infer;all;").status == 503
    hidden = own_bridge.get("/v1/models/waiting", caller=caller)
    assert (hidden.status, hidden.data["error"]["code"]) == (404, "model_not_found")


def stops(llama_server: RunningVllm, leave: Callable[[], None]) -> bool:
    """Whether vLLM says less than all of the long answer when its caller leaves.

    On a busy machine all of it may have been said before the word of that is there. If none came, it always would be.
    """

    def generated() -> float:
        before = metric(llama_server, "generation_tokens_total")
        leave()
        wait_for(lambda: metric(llama_server, "num_requests_running"), (0.0).__eq__)
        return metric(llama_server, "generation_tokens_total") - before

    return any(generated() < LONG for _ in range(20))


def test_generation_stops_when_the_caller_goes_away(bridge: Bridge, llama_server: RunningVllm) -> None:
    with bridge.channel() as channel:

        def leave() -> None:
            rpc = stream(channel, long_question())
            next(rpc)
            rpc.cancel()

        assert stops(llama_server, leave)
    assert "Traceback" not in bridge.log


@pytest.mark.parametrize("streamed", [False, True])
def test_generation_stops_when_the_deadline_passes(bridge: Bridge, llama_server: RunningVllm, streamed: bool) -> None:
    with bridge.channel() as channel:

        def leave() -> None:
            with pytest.raises(grpc.RpcError) as caught:
                if streamed:
                    list(stream(channel, long_question(), timeout=0.3))
                else:
                    infer(channel, long_question(), timeout=0.3)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED

        assert stops(llama_server, leave)


def test_a_caller_that_takes_its_time_gets_everything_and_holds_nobody(bridge: Bridge) -> None:
    narrow = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
    with bridge.channel() as channel, grpc.insecure_channel(f"unix:{bridge.grpc}", options=narrow) as slow:
        rpc = stream(slow, long_question())
        first = next(rpc)
        whole, _ = infer(channel, long_question())
        time.sleep(0.5)
        assert text_of(infer(channel, question())[0]) == ANSWER
        assert text_of(first, *rpc) == text_of(whole)


def test_many_streams_at_once_are_all_whole(bridge: Bridge) -> None:
    with bridge.channel() as channel, ThreadPoolExecutor(24) as pool:
        texts = list(pool.map(lambda _: text_of(*stream(channel, question())), range(24)))
    assert texts == [ANSWER] * 24


def test_being_told_to_end_lets_what_is_under_way_finish(own_bridge: Bridge) -> None:
    with own_bridge.channel() as channel:
        rpc = stream(channel, long_question())
        next(rpc)
        assert own_bridge.process is not None
        own_bridge.process.send_signal(signal.SIGTERM)
        responses = list(rpc)
        assert responses[-1].parameters["finish_reason"].string_param == "length"
    assert own_bridge.process.wait(20) == 0
    assert not own_bridge.http.exists()
    assert not own_bridge.grpc.exists()


def test_a_killed_bridge_keeps_the_next_one_from_nothing(own_bridge: Bridge, llama_server: RunningVllm) -> None:
    with own_bridge.channel() as channel:
        rpc = stream(channel, long_question())
        next(rpc)
        own_bridge.end(signal.SIGKILL)
        with pytest.raises(grpc.RpcError) as caught:
            list(rpc)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    wait_for(lambda: metric(llama_server, "num_requests_running"), (0.0).__eq__)
    own_bridge.start()
    with own_bridge.channel() as channel:
        assert text_of(infer(channel, question())[0]) == ANSWER
