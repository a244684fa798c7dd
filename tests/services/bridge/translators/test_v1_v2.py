from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from services.bridge.errors import BridgeError, Kind
from services.bridge.translators import v1_v2
from services.bridge.translators.v1_v2 import Plan
from services.bridge.values import tensors
from services.bridge.values.tensors import Model, NamedTensor, Outputs
from services.clients.inference.values import DTYPES
from services.specs import Tensor
from tests.services.bridge import recorded

ONE = Model((Tensor("x", "FP32", (-1, 2)),), (Tensor("y", "FP32", (-1,)),))
TWO = tensors.model_of(recorded.load("triton-metadata").body)


def model(datatype: str, *shape: int) -> Model:
    return Model((Tensor("x", datatype, shape),), ())


def read(data: Any, of: Model = ONE) -> Plan:
    return v1_v2.read(json.dumps(data).encode(), of)


def refusal(data: Any, of: Model = ONE) -> str:
    with pytest.raises(BridgeError) as caught:
        read(data, of)
    assert caught.value.kind is Kind.INVALID
    return caught.value.message


def sent(plan: Plan) -> list[list[Any]]:
    return [[item.values.tolist() for item in request] for request in plan.requests]


def test_rows_of_one_input_become_one_tensor() -> None:
    plan = read({"instances": [[1, 2], [3.5, 4]], "signature_name": "serving_default"})
    assert sent(plan) == [[[[1.0, 2.0], [3.5, 4.0]]]]
    assert plan.requests[0][0].values.dtype == np.float32
    assert plan.stacked


def test_rows_may_be_objects_also_of_one_input() -> None:
    assert sent(read({"instances": [{"x": [1, 2]}, [3, 4]]})) == [[[[1.0, 2.0], [3.0, 4.0]]]]


def test_rows_of_several_inputs_are_objects_with_text_and_binary() -> None:
    binary = {"b64": base64.b64encode(b"\xff\x00").decode()}
    plan = read({"instances": [{"numbers": [1, 2], "text": "hé"}, {"numbers": [3, 4], "text": binary}]}, TWO)
    assert sent(plan) == [[[[1.0, 2.0], [3.0, 4.0]], [["hé".encode()], [b"\xff\x00"]]]]


def test_a_column_is_a_whole_tensor() -> None:
    assert sent(read({"inputs": [[1, 2], [3, 4], [5, 6]]})) == [[[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]]
    assert sent(read({"inputs": {"numbers": [[1, 2]], "text": [["a"]]}}, TWO)) == [[[[1.0, 2.0]], [[b"a"]]]]


def test_a_model_without_a_free_first_dimension_gets_one_request_a_row() -> None:
    plan = read({"instances": [[1, 2], [3, 4]]}, model("INT64", 2))
    assert sent(plan) == [[[1, 2]], [[3, 4]]]
    answers = [Outputs("1", (NamedTensor("y", "INT64", np.array([n, n])),)) for n in (7, 8)]
    assert json.loads(v1_v2.answer(plan, answers)) == {"predictions": [[7, 7], [8, 8]]}


def test_a_first_dimension_of_one_is_added_to_each_row_and_taken_from_its_answer() -> None:
    plan = read({"instances": [[1, 2], [3, 4]]}, model("INT64", 1, 2))
    assert sent(plan) == [[[[1, 2]]], [[[3, 4]]]]
    answers = [Outputs("1", (NamedTensor("y", "INT64", np.array([[n]])),)) for n in (7, 8)]
    assert json.loads(v1_v2.answer(plan, answers)) == {"predictions": [[7], [8]]}


def test_rows_of_different_lengths_go_one_by_one_where_the_model_lets_them() -> None:
    plan = read({"instances": [[1], [2, 3]]}, model("INT32", -1, -1))
    assert sent(plan) == [[[[1]]], [[[2, 3]]]]
    assert not plan.stacked


def test_a_lone_value_is_a_row_where_one_value_is_wanted() -> None:
    assert sent(read({"instances": [1, 2]}, model("INT32", -1, 1))) == [[[[1], [2]]]]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"instances": [[1, 2], [3]]}, "instances[1].x has shape [1], and the model wants [2] for each instance."),
        ({"instances": [[1, 2], [[3], 4]]}, "instances[1].x is ragged"),
        ({"instances": [[1, 2], ["3", 4]]}, 'instances[1].x: FP32 needs a number, not "3".'),
        ({"instances": [[1, 2], [True, 4]]}, "instances[1].x: FP32 needs a number, not true."),
        ({"instances": [[1, 2], None]}, "instances[1].x: FP32 needs a number, not null."),
        ({"instances": [{"x": [1, 2]}, {"z": 1}]}, "instances[1] lacks x. The model's inputs are x."),
        ({"instances": [{"x": [1, 2], "z": 1}]}, "instances[0] has z, which the model does not know."),
        ({"instances": []}, "at least one entry"),
        ({"instances": {}}, "at least one entry"),
        ({"inputs": [[1, 2, 3]]}, "inputs.x has shape [1, 3], and the model wants [-1, 2]."),
        ({"inputs": {"z": 1}}, "inputs lacks x"),
        ({"instances": [[1, 2]], "inputs": [[1, 2]]}, "either instances or inputs"),
        ([], "either instances or inputs"),
    ],
)
def test_what_does_not_fit_is_named_with_its_row_and_tensor(data: Any, sentence: str) -> None:
    assert sentence in refusal(data)


@pytest.mark.parametrize(
    ("datatype", "value", "sentence"),
    [
        ("UINT8", 256, "256 does not fit UINT8, which holds 0 to 255."),
        ("INT32", 1.5, "INT32 needs a whole number, not 1.5."),
        ("BOOL", 1, "BOOL needs true or false, not 1."),
        ("BYTES", 1, 'BYTES needs a text or {"b64": "..."}, not 1.'),
        ("BYTES", {"b64": "*"}, "the text in b64 is not base64."),
        ("FP32", {"b64": "AAAA"}, "FP32 needs a number"),
    ],
)
def test_values_of_another_type_are_refused(datatype: str, value: Any, sentence: str) -> None:
    assert refusal({"instances": [value]}, model(datatype, -1)).startswith("instances[0].x: " + sentence)


def test_instances_of_two_inputs_must_be_objects() -> None:
    assert "instances[0] must be an object with numbers and text" in refusal({"instances": [[1, 2]]}, TWO)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"instances": 1' + b"0" * 5000 + b"}"])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(BridgeError, match="not JSON"):
        v1_v2.read(content, ONE)


def test_lists_that_would_fill_the_memory_are_refused() -> None:
    with pytest.raises(BridgeError, match="more than 1,000,000 lists"):
        v1_v2.read(b'{"instances": [' + b"[]," * 1_000_001 + b"[]]}", ONE)


def test_a_recorded_answer_becomes_predictions_by_row_and_outputs_by_column() -> None:
    wire = recorded.load("triton-infer")
    answer = tensors.outputs_of(wire.body, wire.header_length)
    row = {"numbers": [0, 1], "text": "text"}
    plan = read({"instances": [row, row]}, TWO)
    assert json.loads(v1_v2.answer(plan, [answer])) == {
        "predictions": [{"sum": [1.0], "upper": ["TEXT"]}, {"sum": [5.0], "upper": ["TEXT"]}]
    }
    columns = read({"inputs": {"numbers": [[0, 1], [2, 3]], "text": [["text"], ["text"]]}}, TWO)
    assert json.loads(v1_v2.answer(columns, [answer])) == {
        "outputs": {"sum": [[1.0], [5.0]], "upper": [["TEXT"], ["TEXT"]]}
    }


def test_one_output_is_given_without_its_name_and_floats_in_their_shortest_form() -> None:
    answer = Outputs("1", (NamedTensor("y", "FP32", np.array([0.1, np.nan], np.float32)),))
    assert v1_v2.answer(read({"instances": [[1, 2], [3, 4]]}), [answer]) == b'{"predictions": [0.1, NaN]}'
    assert v1_v2.answer(read({"inputs": [[1, 2], [3, 4]]}), [answer]) == b'{"outputs": [0.1, NaN]}'


@pytest.mark.parametrize(("name", "value"), [("y", b"\xff"), ("y_bytes", b"text")])
def test_bytes_that_are_no_text_are_base64_and_those_of_a_tensor_named_bytes_too(name: str, value: bytes) -> None:
    answer = Outputs("1", (NamedTensor(name, "BYTES", np.array([value, b"a"], object)),))
    document = json.loads(v1_v2.answer(read({"instances": [[1, 2], [3, 4]]}), [answer]))
    assert [base64.b64decode(row["b64"]) for row in document["predictions"]] == [value, b"a"]


@pytest.mark.parametrize(("shape", "rows"), [((3,), 2), ((), 2), ((2,), 1), ((0, 4), 1)])
def test_an_answer_without_a_row_for_each_instance_is_refused_with_what_to_send(shape: Any, rows: int) -> None:
    answer = Outputs("1", (NamedTensor("y", "FP32", np.zeros(shape, np.float32)),))
    with pytest.raises(BridgeError) as caught:
        v1_v2.answer(read({"instances": [[1, 2]] * rows}), [answer])
    assert caught.value.kind is Kind.INVALID
    instances = "1 instance" if rows == 1 else f"{rows} instances"
    assert caught.value.message.startswith(f"The model answered {instances} with y of shape {list(shape)}.")
    assert 'send {"inputs": ...}' in caught.value.message


@pytest.mark.parametrize(("largest", "rows"), [(100, 3), (20, 2), (1, 1)])
def test_texts_count_by_their_length_in_a_request_of_zeros(largest: int, rows: int) -> None:
    plan = read({"instances": ["ten bytes!"]}, model("BYTES", -1))
    (item,) = v1_v2.zeros(plan, 3, largest)
    assert item.values.tolist() == [b"ten bytes!"] * rows


def test_rows_are_counted_in_each_answer_not_over_all() -> None:
    plan = v1_v2.split(read({"instances": [[1, 2], [3, 4]]}), 1)
    answers = [Outputs("1", (NamedTensor("y", "FP32", np.zeros(rows, np.float32)),)) for rows in (2, 0)]
    with pytest.raises(BridgeError, match=r"1 instance with y of shape \[2\]"):
        v1_v2.answer(plan, answers)


def test_an_output_that_only_some_answers_have_is_in_their_predictions() -> None:
    plan = v1_v2.split(read({"instances": [[1, 2], [3, 4]]}), 1)
    y, z = (NamedTensor(name, "INT64", np.array([number])) for name, number in (("y", 1), ("z", 2)))
    document = json.loads(v1_v2.answer(plan, [Outputs("1", (y, z)), Outputs("1", (y,))]))
    assert document == {"predictions": [{"y": 1, "z": 2}, {"y": 1}]}


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_floats_read_back_as_they_are(datatype: str) -> None:
    values = np.arange(0x3000, 0x3600, dtype=np.uint16).view(DTYPES[datatype])
    plan = read({"inputs": [1.0]}, model("FP32", -1))
    document = json.loads(v1_v2.answer(plan, [Outputs("1", (NamedTensor("y", datatype, values),))]))
    assert np.array(document["outputs"], DTYPES[datatype]).tobytes() == values.tobytes()


def test_a_question_is_split_into_what_the_model_takes_and_its_answers_are_put_together() -> None:
    plan = v1_v2.split(read({"instances": [[n, n] for n in range(5)]}), 2)
    assert [request[0].values.shape for request in plan.requests] == [(2, 2), (2, 2), (1, 2)]
    answers = [Outputs("1", (NamedTensor("y", "FP32", request[0].values[:, 0]),)) for request in plan.requests]
    assert json.loads(v1_v2.answer(plan, answers)) == {"predictions": [0, 1, 2, 3, 4]}
