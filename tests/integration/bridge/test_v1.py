"""V1 and TensorFlow Serving of models that do not have a row of everything for each instance, by the real Triton."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from services.bridge.protos import tfserving
from tests.integration.bridge.rig import Answer, Bridge

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("bridge")]


@pytest.fixture
def fresh(bridge: Bridge) -> Bridge:
    """One that has learned nothing of any model."""
    for service in bridge.services.values():
        service["revision"] += 1
    bridge.publish()
    return bridge


def predict(bridge: Bridge, model: str, body: Any) -> Answer:
    return bridge.post(f"/v1/models/{model}:predict", body, model)


def predictions(bridge: Bridge, model: str, *instances: Any) -> Any:
    answer = predict(bridge, model, {"instances": instances})
    assert answer.status == 200, answer.body
    return answer.data["predictions"]


def refusal(bridge: Bridge, model: str, body: Any) -> str:
    answer = predict(bridge, model, body)
    assert answer.status == 400, answer.body
    return str(answer.data["error"])


@pytest.mark.parametrize("model", ["add", "auto"])
def test_an_optional_input_may_be_left_out(fresh: Bridge, model: str) -> None:
    assert predictions(fresh, model, {"a": 1}) == [1.0]
    assert predictions(fresh, model, {"a": 1}, {"a": 2}) == [1.0, 2.0]
    assert predictions(fresh, model, {"a": 1, "b": 5}, {"a": 2, "b": 6}) == [6.0, 8.0]
    assert predict(fresh, model, {"inputs": {"a": [1, 2]}}).data == {"outputs": [1.0, 2.0]}
    assert predict(fresh, model, {"inputs": {"a": [1, 2], "b": [1, 1]}}).data == {"outputs": [2.0, 3.0]}


@pytest.mark.parametrize("model", ["add", "auto"])
def test_values_without_a_name_are_for_the_only_required_input(fresh: Bridge, model: str) -> None:
    assert predictions(fresh, model, 1, 2) == [1.0, 2.0]
    assert predict(fresh, model, {"inputs": [1, 2]}).data == {"outputs": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("model", "body", "sentence"),
    [
        ("add", {"instances": [{"b": 1}]}, "instances[0] lacks a. The model's inputs are a and b (optional)."),
        ("auto", {"inputs": {"b": [1]}}, "inputs lacks a. The model's inputs are a and b (optional)."),
        (
            "add",
            {"instances": [{"a": 1, "b": 2}, {"a": 1}]},
            "instances[1] lacks b, which instances[0] has: give an optional input in every instance or in none.",
        ),
        ("add", {"instances": [{"a": 1}, {"a": 1, "b": 2}]}, "instances[1] has b, which instances[0] lacks"),
        ("add", {"instances": [{"a": 1, "c": 2}]}, "instances[0] has c, which the model does not know."),
        ("both", {"instances": [{"a": 1}]}, "instances[0] lacks b. The model's inputs are a and b."),
        ("both", {"instances": [1]}, "instances[0] must be an object with a and b: the model has 2 inputs."),
        ("either", {"instances": [1]}, "must be an object with a (optional) and b (optional)"),
    ],
)
def test_what_is_required_and_lacks_is_named(fresh: Bridge, model: str, body: Any, sentence: str) -> None:
    for _ in range(2):  # asked of Triton, and remembered
        assert sentence in refusal(fresh, model, body)


def test_a_model_may_have_nothing_but_optional_inputs(fresh: Bridge) -> None:
    assert predictions(fresh, "either", {}, {}) == [[0.0], [0.0]]
    assert predictions(fresh, "either", {"b": 4}) == [4.0]
    assert predict(fresh, "either", {"inputs": {}}).data == {"outputs": [0.0]}


def boxes(number: int) -> list[list[float]]:
    rows: list[list[float]] = np.arange(4.0 * number).reshape(-1, 4).tolist()
    return rows


@pytest.mark.parametrize("model", ["find", "find-one"])
@pytest.mark.parametrize("hits", [(1,), (0,), (3,), (2, 2), (1, 1), (0, 3, 1)], ids=str)
def test_a_prediction_holds_all_that_was_found_in_its_instance(
    fresh: Bridge, model: str, hits: tuple[int, ...]
) -> None:
    given = predictions(fresh, model, *([number, 0] for number in hits))
    assert [prediction["boxes"] for prediction in given] == [boxes(number) for number in hits]
    labels = hits if model == "find" else [[number] for number in hits]  # [-1] of [1, 2] is not its first dimension
    assert [prediction["labels"] for prediction in given] == list(labels)


def test_whole_inputs_as_instances_are_answered_with_whole_outputs(fresh: Bridge) -> None:
    (given,) = predictions(fresh, "find", [[1, 0], [1, 0]])
    assert given == {"boxes": boxes(2), "labels": [1, 1]}


def test_columns_are_answered_whatever_the_outputs_are(fresh: Bridge) -> None:
    for model in ("find", "find-one"):
        answer = predict(fresh, model, {"inputs": [[3, 0]]})
        assert answer.data == {"outputs": {"boxes": boxes(3), "labels": [3]}}


@pytest.mark.parametrize("hits", [1, 2, 0], ids=str)
def test_a_batch_that_is_answered_with_other_rows_is_no_error_of_the_gateway(fresh: Bridge, hits: int) -> None:
    """The model says that it takes batches, and gives what it finds in all of them."""
    for instances in ([[hits, 0]], [[hits, 0], [hits, 0], [hits, 0]]):
        given = predictions(fresh, "find-batch", *instances)
        assert given == [{"boxes": boxes(hits), "labels": [hits]}] * len(instances)


@pytest.mark.parametrize("count", [1, 2, 20])
def test_outputs_of_fixed_size_are_told_for_each_instance(fresh: Bridge, count: int) -> None:
    given = predictions(fresh, "sum", *([number, 1] for number in range(count)))
    assert given == [{"sum": number + 1.0, "ends": sorted((number, 1.0))} for number in range(count)]


IMAGE = [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [1, 2, 3]]]


@pytest.mark.parametrize("count", [1, 3])
def test_a_value_beside_a_whole_input_is_for_the_instance(fresh: Bridge, count: int) -> None:
    """The image has its first dimension, and the lone value has none."""
    given = predictions(fresh, "image", *[{"image": IMAGE, "least": 0.5}] * count)
    assert given == [{"one": 13, "free": [13]}] * count
    whole = [{"one": [13], "free": [13]}] * count
    assert predictions(fresh, "image", *[{"image": IMAGE, "least": [0.5]}] * count) == whole
    assert predictions(fresh, "labelled", *[{"image": IMAGE, "least": 0.5}] * count) == whole


@pytest.mark.parametrize("count", [1, 3])
def test_a_row_of_one_input_and_one_value_of_another_are_an_instance(fresh: Bridge, count: int) -> None:
    given = predictions(fresh, "image", *[{"image": IMAGE[0], "least": 0.5}] * count)
    assert given == [{"one": 7, "free": [7]}] * count


def test_a_model_without_inputs_is_asked_by_empty_instances(bridge: Bridge) -> None:
    assert predictions(bridge, "none", {}, {}) == [{"one": [0], "free": [0]}] * 2
    assert predict(bridge, "none", {"inputs": {}}).data == {"outputs": {"one": [0], "free": [0]}}
    assert list(tensorflow(bridge, "none")["one"].int64_val) == [0]


def test_half_floats_are_numbers_both_ways(bridge: Bridge) -> None:
    given = predictions(bridge, "half", {"x": [1], "brain": [0.5]}, {"x": [2], "brain": [-3]})
    assert given == [{"half": [0.099975586], "same": [0.5]}, {"half": [0.19995117], "same": [-3.0]}]
    answer = predict(bridge, "half", {"inputs": {"x": [[1]], "brain": [[1.5]]}})
    assert answer.data == {"outputs": {"half": [[0.099975586]], "same": [[1.5]]}}


def test_a_model_that_streams_says_so(bridge: Bridge) -> None:
    for body in ({"instances": [{"a": 1, "b": 1}]}, {"instances": [1]}, {"inputs": {"a": [1]}}):
        answer = predict(bridge, "stream", body)
        assert (answer.status, "decoupled" in answer.data["error"]) == (501, True), answer.body


def tensorflow(bridge: Bridge, model: str, *outputs: str, **inputs: list[float]) -> Any:
    request = tfserving.PredictRequest(output_filter=outputs)
    request.model_spec.name = model
    for name, values in inputs.items():
        request.inputs[name].dtype = 1
        request.inputs[name].tensor_shape.dim.add(size=len(values))
        request.inputs[name].float_val.extend(values)
    with bridge.channel() as channel:
        rpc = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            lambda sent: sent.SerializeToString(),
            tfserving.PredictResponse.FromString,
        )
        return rpc(request, metadata=(("x-console-service", model),), timeout=20).outputs


@pytest.mark.parametrize("outputs", [(), ("y",)], ids=["all outputs", "a filter"])
def test_tensorflow_serving_leaves_out_optional_inputs_too(bridge: Bridge, outputs: tuple[str, ...]) -> None:
    assert list(tensorflow(bridge, "add", *outputs, a=[1, 2])["y"].float_val) == [1, 2]
    assert list(tensorflow(bridge, "auto", *outputs, a=[1, 2], b=[1, 1])["y"].float_val) == [2, 3]
    assert list(tensorflow(bridge, "either", *outputs)["y"].float_val) == [0]


@pytest.mark.parametrize("model", ["add", "both"])
def test_tensorflow_serving_names_the_inputs_that_lack(bridge: Bridge, model: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        tensorflow(bridge, model)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "missing required input(s) ['a'" in caught.value.details()
