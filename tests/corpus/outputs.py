"""Outputs as Python models give them: halves, bytes that are no text, lone values, other shapes than configured."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.corpus.case import Case, Request, array, texts
from tests.corpus.folders import answering, python
from tests.corpus.tensors import tensor

COUNT = tensor("input", "IN", "INT32")
TWO = array([1, 2], np.int32)
BINARY = (b"\xff\x00\xfe", b"plain", b"")


def _giving(name: str, datatype: str, code: str, expected: Any, dims: str = "-1", **more: Any) -> Case:
    """`code` makes the array of OUT from `n`, the array of IN."""
    model = answering(f'n = get("IN")\nreturn [pb_utils.Tensor("OUT", {code})]')
    config = COUNT + tensor("output", "OUT", datatype, dims)
    return Case(name, python(config, model), [Request({"IN": TWO}, [{"OUT": expected}])], **more)


CASES = (
    _giving("fp16-output", "FP16", "n.astype(np.float16)", array([1, 2], np.float16)),
    _giving("binary-output", "STRING", f"np.array({list(BINARY)!r}, dtype=object)", texts(*BINARY)),
    _giving("str-output", "STRING", 'np.array(["é", "☃"], dtype=object)', texts("é", "☃")),
    _giving("unicode-output", "STRING", 'np.array(["é", "ab"]).astype(object)', texts("é", "ab")),
    _giving("lone-value", "FP32", "np.array(n.sum(), dtype=np.float32).reshape(1)", array([3]), "1"),
    _giving("no-dimensions", "FP32", "np.array(n.sum(), dtype=np.float32)", array(3), "1"),
    _giving("other-dims", "FP32", "np.stack([n, n]).astype(np.float32)", array([[1, 2], [1, 2]]), "2"),
    _giving(
        "not-a-number", "FP32", "np.array([np.nan, np.inf, -np.inf], np.float32)", array([np.nan, np.inf, -np.inf])
    ),
    _giving(
        "largest-numbers",
        "UINT64",
        "np.array([2**64 - 1, 2**53 + 1], np.uint64)",
        array([2**64 - 1, 2**53 + 1], np.uint64),
    ),
    _giving("empty-output", "FP32", "np.zeros((0,), np.float32)", np.zeros((0,), np.float32)),
    _giving(
        "transposed",
        "INT32",
        "np.arange(6, dtype=np.int32).reshape(2, 3).T",
        array([[0, 3], [1, 4], [2, 5]], np.int32),
        "3, 2",
    ),
    Case(
        "some-outputs",
        python(
            COUNT + tensor("output", "OUT", "INT32") + tensor("output", "MORE", "INT32"),
            answering('return [pb_utils.Tensor("OUT", get("IN"))]'),
        ),
        [Request({"IN": TWO}, [{"OUT": TWO}])],
    ),
)
