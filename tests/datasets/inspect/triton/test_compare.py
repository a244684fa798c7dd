"""config.pbtxt beside the ONNX model that it describes, and the config.pbtxt that is suggested."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.config_pbtxt.rows import text_of
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats.onnx import Graph, Value
from datasets.inspect.triton import compare
from datasets.inspect.triton.suggest import USUAL_BATCH, suggest
from tests.datasets.inspect.made import PATIENT, told

DIGITS = Graph(inputs=(Value("x", "tensor", 1, ("batch", 64)),), outputs=(Value("y", "tensor", 7, ("batch",)),))
FIXED = Graph(inputs=(Value("x", "tensor", 1, (1, 64)),), outputs=(Value("y", "tensor", 1, (1, 10)),))
RIGHT = 'input { name: "x" data_type: TYPE_FP32 dims: [-1, 64] } output { name: "y" data_type: TYPE_INT64 dims: -1 }'
BATCHED = """max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: 64 }
output { name: "y" data_type: TYPE_INT64 dims: 1 reshape { } }"""
SCALAR = Graph(inputs=(Value("s", "tensor", 9, ()),), outputs=(Value("t", "tensor", 8, (-1,)),))


def verdicts(text: str, graph: Graph) -> dict[str, str]:
    return {row.what: row.verdict for row in compare.compare(pbtxt.parse(text), graph)}


@pytest.mark.parametrize(
    ("text", "graph", "what", "verdict", "message"),
    [
        (RIGHT, DIGITS, "input x", "same", ""),
        (RIGHT, DIGITS, "batching", "left_out", "set max_batch_size to make it faster"),
        (BATCHED, DIGITS, "output y", "same", ""),
        (RIGHT.replace("64]", "63]"), DIGITS, "input x", "wrong", "write dims: [-1, 64]"),
        (RIGHT.replace("[-1, 64]", "64"), DIGITS, "input x", "wrong", "Without max_batch_size, dims have the batch"),
        (BATCHED.replace("dims: 64", "dims: [-1, 64]"), DIGITS, "input x", "wrong", "dims leave the batch out"),
        (RIGHT.replace("[-1, 64]", "[-1, -1]"), DIGITS, "input x", "differs", "free in config.pbtxt and fixed"),
        (RIGHT.replace("[-1, 64]", "[7, 64]"), DIGITS, "input x", "same", ""),
        (RIGHT.replace("FP32", "FP16"), DIGITS, "input x", "wrong", "write data_type: TYPE_FP32"),
        (RIGHT.replace("INT64", "INT32"), DIGITS, "output y", "differs", "write data_type: TYPE_INT64"),
        (RIGHT.replace('"x"', '"z"'), DIGITS, "input z", "wrong", "The model has no input named z; it has x"),
        (RIGHT.replace('"x"', '"z"'), DIGITS, "input x", "wrong", "leaves it out, and the model needs it"),
        ("max_batch_size: 0", DIGITS, "input x", "left_out", "they are taken from the model"),
        ("max_batch_size: 8", FIXED, "batching", "wrong", "Set max_batch_size to 0"),
    ],
)
def test_each_difference_is_told_with_what_to_write(
    text: str, graph: Graph, what: str, verdict: str, message: str
) -> None:
    [row] = [row for row in compare.compare(pbtxt.parse(text), graph) if row.what == what]
    assert row.verdict == verdict and message in row.said


def test_an_output_may_be_left_out_of_several() -> None:
    graph = Graph(inputs=DIGITS.inputs, outputs=(*DIGITS.outputs, Value("p", "tensor", 1, ("batch", 10))))
    assert verdicts(RIGHT, graph)["output p"] == "left_out"


@pytest.mark.parametrize("graph", [DIGITS, FIXED, SCALAR])
@pytest.mark.parametrize(
    "text",
    [
        "",
        RIGHT,
        BATCHED,
        "max_batch_size: 8",
        RIGHT.replace("64]", "3]"),
        RIGHT.replace('"x"', '"z"'),
        RIGHT.replace("data_type: TYPE_INT64 dims: -1", 'data_type: TYPE_FP16 dims: 5 label_filename: "labels.txt"'),
    ],
)
def test_what_is_suggested_contradicts_nothing(graph: Graph, text: str) -> None:
    config = pbtxt.parse(suggest(graph, pbtxt.parse(text) if text else None, "digits"))
    rows = compare.compare(config, graph)
    assert {row.verdict for row in rows} <= {"same", "left_out"}, rows
    assert (config.name, pbtxt.backend(config)) == ("digits", "onnxruntime")
    assert "label_filename" not in text or graph is not DIGITS or config.output[0].label_filename == "labels.txt"


def test_batching_is_suggested_where_the_first_axis_is_called_a_batch() -> None:
    config = pbtxt.parse(suggest(DIGITS, None))
    assert config.max_batch_size == USUAL_BATCH and config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [64]
    other = Graph((Value("x", "tensor", 1, ("rows", 64)),), DIGITS.outputs)
    assert pbtxt.parse(suggest(other, None)).max_batch_size == 0


def test_nothing_is_suggested_for_what_triton_cannot_carry() -> None:
    assert suggest(Graph((Value("x", "sequence"),), ()), None) == ""
    assert text_of(Value("x", "sequence")) == "a sequence"
    assert text_of(Value("x", "tensor", 14, None)) == "complex64 of any shape"


STATEFUL = """max_batch_size: 2
input { name: "x" data_type: TYPE_FP32 dims: 64 allow_ragged_batch: true optional: true }
batch_input { kind: BATCH_ITEM_SHAPE target_name: ["y", "x"] data_type: TYPE_FP32 source_input: "x" }
sequence_batching { control_input { name: "x" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 } }
state { input_name: "x" output_name: "y" data_type: TYPE_INT64 dims: [-1, 0] } }"""
TEXTS = st.text(alphabet=st.characters(max_codepoint=200), max_size=60) | st.sampled_from([RIGHT, BATCHED, STATEFUL])


@PATIENT
@given(TEXTS, st.integers(0, 600), st.sampled_from([DIGITS, FIXED, SCALAR]))
def test_any_text_ends_in_one_kind_of_error(text: str, cut: int, graph: Graph) -> None:
    with told("config.pbtxt is broken"):
        config = pbtxt.parse(text[:cut])
        compare.compare(config, graph)
        suggest(graph, config)


def test_a_config_that_is_no_text_or_far_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_bytes(b"\xff")
    with pytest.raises(Unreadable, match="not UTF-8"):
        pbtxt.read(tmp_path)
    (tmp_path / "config.pbtxt").write_bytes(b"#" * (pbtxt.MOST_BYTES + 1))
    with pytest.raises(Unreadable, match="larger than 1 MiB"):
        pbtxt.read(tmp_path)
