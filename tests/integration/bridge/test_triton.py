"""KServe V1 and TensorFlow Serving's gRPC through the real bridge to the real Triton."""

from __future__ import annotations

import base64
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from services.bridge.protos import tfserving
from tests.integration.bridge.rig import Answer, Bridge

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("bridge")]


def predict(bridge: Bridge, body: Any) -> Answer:
    return bridge.post("/v1/models/rows:predict", body, "rows")


def row(*numbers: float, text: Any = "a") -> dict[str, Any]:
    return {"numbers": list(numbers), "text": [text]}


def test_rows_become_predictions(bridge: Bridge) -> None:
    answer = predict(bridge, {"instances": [row(1, 2), row(3, 4.5, text="é")]})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.data == {"predictions": [{"sum": [3.0], "upper": ["A"]}, {"sum": [7.5], "upper": ["é"]}]}


def test_binary_values_go_and_come_as_base64(bridge: Bridge) -> None:
    encoded = base64.b64encode(b"\xffab").decode()
    answer = predict(bridge, {"instances": [row(1, 2, text={"b64": encoded})]})
    assert base64.b64decode(answer.data["predictions"][0]["upper"][0]["b64"]) == b"\xffAB"


def test_columns_become_outputs(bridge: Bridge) -> None:
    answer = predict(bridge, {"inputs": {"numbers": [[1, 2], [3, 4]], "text": [["a"], ["b"]]}})
    assert answer.data == {"outputs": {"sum": [[3.0], [7.0]], "upper": [["A"], ["B"]]}}


def test_more_rows_than_the_model_takes_at_once_come_back_in_order(bridge: Bridge) -> None:
    for _ in range(2):  # the first time it is found out, the second time it is known
        answer = predict(bridge, {"instances": [row(n, n) for n in range(11)]})
        assert [prediction["sum"] for prediction in answer.data["predictions"]] == [[2.0 * n] for n in range(11)]


def test_what_does_not_fit_is_told_before_the_model_is_asked(bridge: Bridge) -> None:
    answer = predict(bridge, {"instances": [row(1, 2), row(1)]})
    assert (answer.status, answer.data["error"]) == (
        400,
        "instances[1].numbers has shape [1], and the model wants [2] for each instance.",
    )


def test_what_the_model_says_is_passed_on(bridge: Bridge) -> None:
    answer = predict(bridge, {"instances": [row(1, 2, text="fail")]})
    assert (answer.status, answer.data) == (500, {"error": "asked to fail"})


def test_a_large_body_is_translated_and_one_over_the_limit_is_refused(bridge: Bridge) -> None:
    text = "x" * (1 << 20)
    answer = predict(bridge, {"instances": [row(1, 2, text=text)]})
    assert answer.data["predictions"][0]["upper"] == [text.upper()]
    assert predict(bridge, b" " * ((16 << 20) + (65 << 10))).status == 413


def test_a_service_that_is_away_is_503_and_one_that_speaks_otherwise_is_told_so(bridge: Bridge) -> None:
    away = bridge.post("/v1/models/gone:predict", {"instances": [1]}, "gone")
    assert (away.status, away.headers["retry-after"]) == (503, "1")
    assert "cannot be reached" in away.data["error"]
    text = bridge.post("/v1/models/tiny:predict", {"instances": [1]}, "tiny")
    assert text.status == 501
    assert "OpenAI" in text.data["error"]
    assert bridge.post("/v1/models/no:predict", {"instances": [1]}, "no").status == 404


def test_one_slow_client_does_not_hold_others(bridge: Bridge) -> None:
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(bridge.http))
        slow.sendall(
            b"POST /v1/models/rows:predict HTTP/1.1\r\nHost: x\r\nx-console-service: rows\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        began = time.monotonic()
        assert predict(bridge, {"instances": [row(1, 2)]}).status == 200
        assert time.monotonic() - began < 30


def test_many_at_once_are_all_answered(bridge: Bridge) -> None:
    def one(number: int) -> Any:
        return predict(bridge, {"instances": [row(number, 0)]}).data["predictions"][0]["sum"]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(200))) == [[float(number)] for number in range(200)]


def call(channel: grpc.Channel, method: str, message: Any, answer: Any, service: str = "rows") -> Any:
    method = f"/tensorflow.serving.PredictionService/{method}"
    rpc = channel.unary_unary(method, lambda sent: sent.SerializeToString(), answer.FromString)
    return rpc(message, metadata=(("x-console-service", service),), timeout=20)


def question(rows: int = 2) -> Any:
    message = tfserving.PredictRequest()
    message.model_spec.name = "rows"
    numbers, text = message.inputs["numbers"], message.inputs["text"]
    numbers.dtype, text.dtype = 1, 7
    for tensor, width in ((numbers, 2), (text, 1)):
        tensor.tensor_shape.dim.add(size=rows)
        tensor.tensor_shape.dim.add(size=width)
    numbers.float_val.append(1.5)
    text.string_val.append(b"a")
    return message


def test_predict_over_grpc(bridge: Bridge) -> None:
    request = question()
    request.model_spec.signature_name = "mine"
    with bridge.channel() as channel:
        response = call(channel, "Predict", request, tfserving.PredictResponse)
    assert list(response.outputs["sum"].float_val) == [3.0, 3.0]
    assert list(response.outputs["upper"].string_val) == [b"A", b"A"]
    assert (response.model_spec.name, response.model_spec.signature_name, response.model_spec.version.value) == (
        "rows",
        "mine",
        1,
    )


def test_only_the_outputs_asked_for_come_back(bridge: Bridge) -> None:
    request = question()
    request.output_filter.append("sum")
    request.model_spec.version.value = 1
    with bridge.channel() as channel:
        assert list(call(channel, "Predict", request, tfserving.PredictResponse).outputs) == ["sum"]


def test_the_signature_is_the_models_metadata(bridge: Bridge) -> None:
    request = tfserving.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "rows"
    with bridge.channel() as channel:
        response = call(channel, "GetModelMetadata", request, tfserving.GetModelMetadataResponse)
    signatures = tfserving.SignatureDefMap.FromString(response.metadata["signature_def"].value)
    assert sorted(signatures.signature_def["serving_default"].inputs) == ["numbers", "text"]


def test_refusals_over_grpc_have_their_codes_and_the_models_words(bridge: Bridge) -> None:
    unknown, wrong, version = question(), question(), question()
    unknown.output_filter.append("nope")
    wrong.inputs["numbers"].dtype = 8
    version.model_spec.version.value = 9
    cases = [
        (unknown, "rows", "INVALID_ARGUMENT", "unexpected inference output 'nope'"),
        (wrong, "rows", "INVALID_ARGUMENT", "numbers: DataType 8"),
        (version, "rows", "NOT_FOUND", "version 9"),
        (question(rows=5), "rows", "INVALID_ARGUMENT", "batch-size must be <= 4"),
        (question(), "gone", "UNAVAILABLE", "cannot be reached"),
        (question(), "tiny", "UNIMPLEMENTED", "speaks OpenAI's API"),
        (question(), "no", "NOT_FOUND", "There is no service no."),
        (question(), "", "NOT_FOUND", "names no service"),
    ]
    with bridge.channel() as channel:
        for message, service, code, words in cases:
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, "Predict", message, tfserving.PredictResponse, service)
            assert caught.value.code().name == code
            assert words in caught.value.details()
            if code == "UNAVAILABLE":
                assert ("retry-after", "1") in [tuple(pair) for pair in caught.value.trailing_metadata()]
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(
                b"\xff\xff", metadata=(("x-console-service", "rows"),), timeout=20
            )
        assert caught.value.code().name == "INVALID_ARGUMENT"
