"""Which inputs of an ONNX model Triton fills, which may be left out, and what counts for batches.

The rules are those of src/onnxruntime.cc in triton-inference-server/onnxruntime_backend: ModelInstanceState's
constructor (expected_input_cnt), ValidateBooleanSequenceControl, ValidateTypedSequenceControl, ValidateInputs,
ValidateOutputs, and ModelState::AutoCompleteConfig.
"""

from __future__ import annotations

from typing import Any

import pytest

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.formats.onnx import Graph, Value
from datasets.inspect.triton import compare
from datasets.inspect.triton.suggest import suggest


def value(name: str, *shape: int | str, element: int = 1) -> Value:
    return Value(name, "tensor", element, shape)


X = 'input { name: "x" data_type: TYPE_FP32 dims: 1 }'
Y = 'output { name: "y" data_type: TYPE_FP32 dims: 1 }'
STATE = 'state { input_name: "s_in" output_name: "s_out" data_type: TYPE_FP32 dims: 1 }'
START = 'control_input { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] } }'
ID = 'control_input { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }'
STATEFUL = Graph((value("x", "n", 1), value("s_in", "n", 1)), (value("y", "n", 1), value("s_out", "n", 1)))
CONTROLLED = Graph((value("x", "n", 1), value("START", "n", 1)), (value("y", "n", 1),))
NAMED = Graph((value("x", "n", 1), value("ID", "n", 1, element=13)), (value("y", "n", 1),))
RAGGED = 'input { name: "x" data_type: TYPE_FP32 dims: -1 allow_ragged_batch: true }'
COUNT = 'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "cnt" data_type: TYPE_FP32 source_input: "x" }'
COUNTED = Graph((value("x", "n"), value("cnt", "b")), (value("y", "b", 1),))
SHAPES = COUNT.replace("ELEMENT_COUNT", "ITEM_SHAPE")
LOSS = Graph((value("x", "n", 1),), (value("y", "n", 1), value("loss")))
DEFAULT = Graph((value("x", 1),), (value("y", 1),), defaults=(value("bias", 1),))
BIAS = 'input { name: "bias" data_type: TYPE_FP32 dims: 1 optional: true }'
ZIPMAP = Graph((value("x", 1),), (value("y", 1), Value("probabilities", "sequence")))


def config(*parts: str, batch: int = 4, sequence: str = "") -> str:
    scheduling = f"sequence_batching {{ direct {{ }} {sequence} }}" if sequence else ""
    return f"max_batch_size: {batch} {' '.join(parts)} {scheduling}"


def problems(text: str, graph: Graph) -> list[str]:
    return compare.problems(compare.compare(pbtxt.parse(text), graph))


@pytest.mark.parametrize(
    ("text", "graph"),
    [
        (config(X, Y, sequence=STATE), STATEFUL),
        (config(X, Y, Y.replace('"y"', '"s_out"'), sequence=STATE), STATEFUL),
        (config(X, Y, sequence=START), CONTROLLED),
        (config(X, Y, sequence=ID), NAMED),
        (config(RAGGED, Y, COUNT), COUNTED),
        (config(RAGGED, Y, SHAPES), Graph((value("x", "n"), value("cnt", "b", "d")), (value("y", "b", 1),))),
        (config(X, Y), LOSS),
        (config(X, Y, batch=0), Graph((value("x", 1),), (value("y", 1),), defaults=DEFAULT.defaults)),
        (config(X, BIAS, Y, batch=0), DEFAULT),
        (config(X, Y, batch=0), ZIPMAP),
        # A scalar has no axis for the batch, and Triton wants none of it.
        (config(X, X.replace('"x"', '"k"'), Y), Graph((value("x", "n", 1), value("k")), (value("y", "n", 1),))),
        (config(X, Y.replace("dims: 1", "dims: [1, 1]"), batch=0), Graph((value("x", 1),), (value("y"),))),
        # The shape of a scattered output comes from an input.
        (
            config(
                RAGGED,
                Y.replace("dims: 1", "dims: -1"),
                'batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "y" source_input: "x" }',
            ),
            Graph((value("x", "n"),), (value("y", 7, 7),)),
        ),
    ],
)
def test_what_triton_takes_is_taken(text: str, graph: Graph) -> None:
    assert problems(text, graph) == []


@pytest.mark.parametrize(
    ("text", "graph", "expected"),
    [
        (
            config(X, X.replace('"x"', '"s_in"'), Y, sequence=STATE),
            STATEFUL,
            "Input s_in: Triton fills it itself, as a state: take it out of input.",
        ),
        (
            config(X, X.replace('"x"', '"START"'), Y, sequence=START),
            CONTROLLED,
            "Input START: Triton fills it itself, as a control: take it out of input.",
        ),
        (config(X, Y, sequence=STATE.replace("FP32", "INT32")), STATEFUL, "State s_in: The model has TYPE_FP32"),
        (
            config(X, Y, sequence=STATE.replace("dims: 1", "dims: 2")),
            STATEFUL,
            "State s_in: The model has [1]: write dims",
        ),
        (
            config(X, Y, sequence=STATE.replace('"s_in"', '"gone"')),
            STATEFUL,
            "State gone: The model has no input named",
        ),
        (
            config(X, Y, sequence=STATE.replace('"s_out"', '"gone"')),
            STATEFUL,
            "State gone: The model has no output named gone; it has y, s_out. Correct output_name.",
        ),
        (
            config(X, Y, sequence=START.replace('"START"', '"GO"')),
            CONTROLLED,
            "Control GO: The model has no input named GO; it has x, START. Correct the name.",
        ),
        (
            config(X, Y, sequence=START.replace("fp32", "int32")),
            CONTROLLED,
            "Control START: The model has TYPE_FP32: write fp32_false_true: [0, 1].",
        ),
        (
            config(X, Y, sequence=ID.replace("UINT64", "INT64")),
            NAMED,
            "Control ID: The model has TYPE_UINT64: write data_type: TYPE_UINT64.",
        ),
        (
            config(X, Y, sequence=START),
            Graph((value("x", "n", 1), value("START", "n", 2)), (value("y", "n", 1),)),
            "Control START: The model has [2] where Triton has [1] for a control",
        ),
        (
            config(
                X,
                Y,
                batch=0,
                sequence=START + ' control_input { name: "START" control { kind: CONTROL_SEQUENCE_END '
                "fp32_false_true: [0, 1] } }",
            ),
            Graph((value("x", 1), value("START", 1)), (value("y", 1),)),
            "Inputs: Triton counts every input that is not optional",
        ),
        (
            config(RAGGED, Y, COUNT),
            Graph((value("x", "n", 5), value("cnt", "b")), (value("y", "b", 1),)),
            "Input x: The model has TYPE_FP32 [n, 5], and Triton hands a ragged input over in one free axis",
        ),
        (config(RAGGED, Y, SHAPES), COUNTED, "Batch input cnt: Triton fills it with 2 axes, and the model has 1"),
        (config(RAGGED, Y, COUNT.replace("FP32", "INT32")), COUNTED, "Batch input cnt: The model has TYPE_FP32"),
        (
            config(X, BIAS.replace(" optional: true", ""), Y, batch=0),
            DEFAULT,
            (
                "Input bias: The model has a value for it, so Triton does not count it: "
                "write optional: true, or leave it out."
            ),
        ),
        (
            config(X, BIAS, Y),
            Graph(CONTROLLED.inputs[:1], CONTROLLED.outputs, defaults=DEFAULT.defaults),
            "Input bias: Triton's own ONNX Runtime backend refuses optional inputs with batching",
        ),
        (
            config(X.replace("dims: 1", "dims: 1 optional: true"), Y, batch=0),
            DEFAULT,
            "Input x: config.pbtxt calls it optional, and the model has no value for it: leave optional out.",
        ),
        (config(X), LOSS, "Batching: The model takes no batches: the first axis of loss is fixed."),
        (config(X, batch=0), ZIPMAP, "Output probabilities: Triton's own ONNX Runtime backend refuses a model with"),
        (
            config(X.replace("dims: 1", "dims: -1"), Y, batch=0),
            Graph((value("x", 0),), (value("y", 1),)),
            "Input x: The model fixes a size of 0 in it",
        ),
        (
            config(X, Y.replace("dims: 1", "dims: 2"), batch=0),
            Graph((value("x", 1),), (value("y"),)),
            "write dims: [1].",
        ),
        (
            config(X, Y.replace("FP32", "STRING")),
            LOSS,
            "Output y: The model has TYPE_FP32: write data_type: TYPE_FP32.",
        ),
        (
            config(X, Y),
            Graph((value("x", "n"),), (value("y", "n", 1),)),
            "Add reshape { shape: [] }: the model has the",
        ),
        (
            config(X, Y, sequence=STATE),
            Graph(STATEFUL.inputs, (value("y", "n", 1), value("s_out", "n", 1, element=6))),
            "State s_out: The model has TYPE_INT32 [n, 1], and the next request would get it as s_in",
        ),
    ],
)
def test_what_triton_refuses_is_refused_with_the_reason(text: str, graph: Graph, expected: str) -> None:
    lines = problems(text, graph)
    assert any(expected in line for line in lines), lines


def test_a_misnamed_control_is_not_asked_of_callers() -> None:
    lines = problems(config(X, Y, sequence=START.replace('"START"', '"GO"')), CONTROLLED)
    assert lines[0].endswith("the model needs it: correct the name GO, or add it to input.")


@pytest.mark.parametrize(
    ("text", "graph", "expected"),
    [
        (
            config(X, Y.replace("dims: 1", "dims: 3"), batch=0),
            Graph((value("x", 1),), (value("y", "n"),)),
            "refuses a size of an output that is fixed here and free in the model: write dims: [-1].",
        ),
        (config(X, Y, batch=0), ZIPMAP, "refuses a model with a sequence, named or not"),
        (config(Y, sequence=STATE), STATEFUL, "refuses that, since it takes s_in for an input of callers too"),
    ],
)
def test_what_the_bundled_runtime_forgives_is_a_note(text: str, graph: Graph, expected: str) -> None:
    rows = compare.compare(pbtxt.parse(text), graph)
    assert not compare.problems(rows)
    assert any(expected in line for line in compare.notes(rows)), rows


def suggested(text: str, graph: Graph) -> Any:
    return pbtxt.parse(suggest(graph, pbtxt.parse(text)))


@pytest.mark.parametrize(
    ("text", "graph", "inputs", "outputs"),
    [
        (config(sequence=STATE), STATEFUL, ["x"], ["y"]),
        (config(X, X.replace('"x"', '"s_in"'), Y, sequence=STATE), STATEFUL, ["x"], ["y"]),
        (config(sequence=START), CONTROLLED, ["x"], ["y"]),
        (config(RAGGED, Y, COUNT), COUNTED, ["x"], ["y"]),
        (config(COUNT), COUNTED, ["x"], ["y"]),
        (config(X, Y), LOSS, ["x"], ["y"]),
        (config(X, BIAS, Y, batch=0), DEFAULT, ["x", "bias"], ["y"]),
        (config(X, BIAS.replace("optional: true", ""), Y, batch=0), DEFAULT, ["x"], ["y"]),
        (config(X.replace("dims: 1", "dims: 1 optional: true"), Y, batch=0), DEFAULT, ["x"], ["y"]),
        (config(RAGGED, Y), Graph((value("x", "n", 5),), (value("y", "n", 1),)), ["x"], ["y"]),
        (config(X, Y, batch=0), ZIPMAP, ["x"], ["y"]),
    ],
)
def test_what_is_suggested_asks_callers_for_nothing_that_triton_fills(
    text: str, graph: Graph, inputs: list[str], outputs: list[str]
) -> None:
    suggested_config = suggested(text, graph)
    assert [tensor.name for tensor in suggested_config.input] == inputs
    assert [tensor.name for tensor in suggested_config.output] == outputs
    rows = compare.compare(suggested_config, graph)
    assert compare.problems(rows) == []


def test_a_batch_size_stays_where_the_outputs_that_are_served_take_it() -> None:
    assert suggested(config(X, Y), LOSS).max_batch_size == 4
    assert suggested(config(X), LOSS).max_batch_size == 0
