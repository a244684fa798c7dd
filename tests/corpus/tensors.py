"""Datatypes, shapes and options of tensors, as Triton documents them, with models in Python."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from tests.corpus.case import V1, Case, Request, array, texts
from tests.corpus.folders import HEAD, answering, python

DTYPES: dict[str, tuple[Any, list[Any]]] = {
    "BOOL": (np.bool_, [True, False]),
    "UINT8": (np.uint8, [0, 255]),
    "UINT16": (np.uint16, [0, 65535]),
    "UINT32": (np.uint32, [0, 4294967295]),
    "UINT64": (np.uint64, [0, 18446744073709551615]),
    "INT8": (np.int8, [-128, 127]),
    "INT16": (np.int16, [-32768, 32767]),
    "INT32": (np.int32, [-2147483648, 2147483647]),
    "INT64": (np.int64, [-9223372036854775808, 9223372036854775807]),
    "FP32": (np.float32, [-1.5, 3.25]),
    "FP64": (np.float64, [0.1, -1e300]),
}
"""Those that JSON carries as numbers, with their extremes."""


def tensor(kind: str, name: str, datatype: str, dims: str = "-1", more: str = "") -> str:
    """One input or output of a config.pbtxt."""
    return f'{kind} [ {{ name: "{name}" data_type: TYPE_{datatype} dims: [ {dims} ] {more} }} ]\n'


def _pair(datatype: str, dims: str = "-1", more: str = "") -> str:
    return tensor("input", "IN", datatype, dims, more) + tensor("output", "OUT", datatype, dims, more)


def _same(values: Any, **more: Any) -> Request:
    return Request({"IN": values}, [{"OUT": values}], **more)


def _all_types() -> Case:
    config, inputs, outputs = "", {}, {}
    for name, (dtype, values) in DTYPES.items():
        config += tensor("input", f"in_{name}", name, "2") + tensor("output", f"out_{name}", name, "2")
        inputs[f"in_{name}"] = outputs[f"out_{name}"] = array(values, dtype)
    descriptions = [f"in_{name} {name} [2]" for name in DTYPES]
    return Case("datatypes", python(config), [Request(inputs, [outputs])], inputs=descriptions)


HALF = array([0.5, -2, 65504], np.float16)
BF16_ECHO = (
    HEAD
    + """class TritonPythonModel:
    # numpy has no BF16: the tensor itself is handed on.
    def execute(self, requests):
        given = [pb_utils.get_input_tensor_by_name(request, "IN") for request in requests]
        tensors = [pb_utils.Tensor.from_dlpack("OUT", tensor.to_dlpack()) for tensor in given]
        return [pb_utils.InferenceResponse([tensor]) for tensor in tensors]
"""
)
SCALAR = answering("""
value = get("IN")
assert value.ndim == 1, value.shape
return [pb_utils.Tensor("OUT", value * 2)]
""")
SQUARE = answering("""
value = get("IN")
assert value.shape[1:] == (2, 2), value.shape
return [pb_utils.Tensor("OUT", value.transpose(0, 2, 1).copy())]
""")
NAMES = ["with space", "a/b:c", "é", 'quo"te', "-dash"]


def _odd_names() -> Case:
    config, inputs, outputs = "", {}, {}
    for index, name in enumerate(NAMES):
        spelled = name.replace('"', '\\"')
        config += tensor("input", spelled, "INT32") + tensor("output", f"{spelled}!", "INT32")
        inputs[name] = outputs[f"{name}!"] = array([index], np.int32)
    return Case("tensor-names", python(config), [Request(inputs, [outputs])])


CASES = (
    _all_types(),
    Case("fp16", python(_pair("FP16")), [_same(HALF)]),
    Case("bf16", python(_pair("BF16"), BF16_ECHO), [_same(array([0.5, -2, 3e38], ml_dtypes.bfloat16))]),
    Case(
        "strings",
        python(_pair("STRING")),
        [
            _same(texts("plain", "", "ünïcödé ☃ 日本", 'line\nbreak\t"quoted" $HOME')),
            _same(texts("x" * 100_000)),
        ],
    ),
    Case(
        "string-rows",
        python("max_batch_size: 4\n" + _pair("STRING", "2")),
        [_same(texts("a", "b", "c", "☃", shape=(2, 2)))],
        has_rows=True,
    ),
    Case(
        "zero-size",
        python(_pair("FP32", "-1, 2")),
        [_same(np.zeros((0, 2), np.float32)), _same(array([[1, 2]]))],
        has_v1=False,
        v1=[  # JSON does not tell how wide a list without rows is
            V1({"inputs": [[1, 2]]}, {"outputs": [[1, 2]]}),
            V1({"inputs": []}, status=400, error="has shape [0]"),
        ],
    ),
    Case("free-sizes", python(_pair("FP64", "-1, 3, -1")), [_same(np.arange(12.0).reshape(2, 3, 2))]),
    Case(
        "scalar-rows",
        python("max_batch_size: 4\n" + _pair("FP32", "1", "reshape: { shape: [ ] }"), SCALAR),
        [Request({"IN": array([[1], [2]])}, [{"OUT": array([[2], [4]])}])],
        has_rows=True,
    ),
    Case(
        "reshaped",
        python("max_batch_size: 4\n" + _pair("INT32", "4", "reshape: { shape: [ 2, 2 ] }"), SQUARE),
        [Request({"IN": array([[1, 2, 3, 4]], np.int32)}, [{"OUT": array([[1, 3, 2, 4]], np.int32)}])],
        has_rows=True,
        like="batches",
    ),
    Case("large", python(_pair("FP64")), [_same(np.arange(3.0 * (1 << 17)))]),
    _odd_names(),
)
