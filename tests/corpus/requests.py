"""Requests for outputs by name, for classes and with priorities; values and names that are hard to send."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.corpus.case import V1, Case, Request, array, texts
from tests.corpus.folders import answering, python
from tests.corpus.graphs import graph, onnx
from tests.corpus.scheduling import BATCHED
from tests.corpus.tensors import tensor

VALUES = array([1, 2])
THREE = tensor("input", "IN", "FP32") + "".join(tensor("output", name, "FP32") for name in ("a", "b", "c"))
REQUESTED = answering("""
values = {"a": get("IN"), "b": get("IN") * 2, "c": get("IN") * 3}
return [pb_utils.Tensor(name, values[name]) for name in request.requested_output_names()]
""")
TWO = 'input { name: "IN" data_type: TYPE_FP32 dims: [ -1 ] }\n' + "".join(
    f'output {{ name: "{name}" data_type: TYPE_FP32 dims: [ -1 ] }}\n' for name in ("minus", "size")
)
MINUS_AND_SIZE = graph(
    [("Neg", "IN", "minus"), ("Abs", "IN", "size")], {"IN": ("n",)}, {"minus": ("n",), "size": ("n",)}
)


def _asks(inputs: Any, outputs: dict[str, Any], **classes: int) -> Request:
    """For these outputs only; `classes` of each, where they are not its values."""
    return Request({"IN": inputs}, [outputs], requested={name: classes.get(name, 0) for name in outputs})


SCORES = array([0.25, 0.5, -1])
ROWS = array([[0.25, 0.5, -1], [3, 1, 2]])
LABELS = "cat\ndøg ☃\nbird: small"
LABELED = tensor("input", "IN", "FP32", "3") + tensor("output", "OUT", "FP32", "3", 'label_filename: "labels.txt"')
BEST = texts("0.500000:1:døg ☃", "0.250000:0:cat")
QUEUES = """dynamic_batching {
  preferred_batch_size: [ 8 ]
  max_queue_delay_microseconds: 200000
"""
LATE = "Request timeout expired"
ROW = array([[1, 2]])


def _row(**more: Any) -> Request:
    return Request({"IN": ROW}, () if "error" in more else [{"OUT": ROW}], **more)


PRIORITIES = (
    QUEUES
    + """  priority_levels: 3
  default_priority_level: 2
  priority_queue_policy { key: 3 value { timeout_action: REJECT default_timeout_microseconds: 1000 } }
}
"""
)
TIMEOUTS = (
    QUEUES + "  default_queue_policy { default_timeout_microseconds: 10000000 allow_timeout_override: true }\n}\n"
)
FIXED_TIMEOUT = TIMEOUTS.replace("allow_timeout_override: true", "")
NO_TIMEOUT = TIMEOUTS.replace("default_timeout_microseconds: 10000000", "")  # Triton takes shorter ones only
BINARY = texts(b"\xff\xfe\x00", b"plain", b"", bytes(range(256)))
TEXTS = tensor("input", "IN", "STRING") + tensor("output", "OUT", "STRING")
NAMES = (("inputs", "predictions"), ("instances", "outputs"), ("signature_name", "instances"), ("b64", "error"))
V1_NAMES = "max_batch_size: 4\n" + "".join(
    tensor("input", one, "INT32", "1") + tensor("output", other, "INT32", "1") for one, other in NAMES
)
LARGE = np.arange(5.0 * (1 << 17)) % 1000
LARGE_TENSORS = "".join(
    tensor(kind, name, "FP64", str(LARGE.size)) for kind, name in (("input", "IN"), ("output", "OUT"))
)


def _named(*first: int) -> Request:
    """One row for each number."""
    rows = array([[value] for value in first], np.int32)
    inputs = {one: rows * (index + 1) for index, (one, _) in enumerate(NAMES)}
    return Request(inputs, [{other: rows * (index + 1) for index, (_, other) in enumerate(NAMES)}])


def _alone(one: str, other: str) -> Case:
    """A model with one input and one output of such names, one of whose values is not named in V1."""
    config = "max_batch_size: 4\n" + tensor("input", one, "INT32", "1") + tensor("output", other, "INT32", "1")
    rows = array([[7], [8]], np.int32)
    columns = [[7], [8]]
    exchanges = [
        V1({"inputs": {one: columns}}, {"outputs": columns}),
        V1({"instances": [{one: [7]}, {one: [8]}]}, {"predictions": columns}),
        V1({"instances": columns, "signature_name": "serving_default"}, {"predictions": columns}),
        V1({"inputs": columns, "signature_name": ""}, {"outputs": columns}),
    ]
    return Case(
        f"named-{one.replace('_', '-')}",
        python(config),
        [Request({one: rows}, [{other: rows}])],
        v1=exchanges,
        has_rows=True,
    )


CASES = (
    Case(
        "requested-outputs",
        python(THREE, REQUESTED),
        [
            Request({"IN": VALUES}, [{"a": VALUES, "b": VALUES * 2, "c": VALUES * 3}]),
            _asks(VALUES, {"b": VALUES * 2}),
            _asks(VALUES, {"c": VALUES * 3, "a": VALUES}),
            Request({"IN": VALUES}, requested={"d": 0}, error="unexpected inference output 'd'", status=400),
        ],
    ),
    Case(
        "requested-onnx-outputs",
        onnx(TWO, MINUS_AND_SIZE),
        [
            _asks(-VALUES, {"size": VALUES}),
            _asks(VALUES, {"minus": -VALUES}),
        ],
        like="requested-outputs",
    ),
    Case(
        "classes",
        python(LABELED, others={"labels.txt": LABELS}),
        [
            Request({"IN": SCORES}, [{"OUT": SCORES}]),
            _asks(SCORES, {"OUT": BEST}, OUT=2),
            _asks(SCORES, {"OUT": texts("0.500000:1:døg ☃", "0.250000:0:cat", "-1.000000:2:bird: small")}, OUT=9),
        ],
    ),
    Case(
        "classes-of-rows",
        python("max_batch_size: 4\n" + LABELED, others={"labels.txt": LABELS.replace("\n", "\r\n")}),
        [
            _asks(ROWS, {"OUT": texts("0.500000:1:døg ☃", "3.000000:0:cat", shape=(2, 1))}, OUT=1),
        ],
        has_rows=True,
        like="classes",
    ),
    Case(
        "classes-without-labels",
        python(THREE.replace("-1", "2"), REQUESTED),
        [
            _asks(VALUES, {"a": texts("2.000000:1"), "b": VALUES * 2}, a=1),
        ],
        like="classes",
    ),
    Case(
        "priority",
        python(BATCHED + PRIORITIES),
        [
            _row(),
            _row(parameters={"priority": 1}),
            _row(parameters={"priority": 3}, error=LATE, status=503),
            _row(parameters={"priority": 9}),
        ],
        has_rows=True,
    ),
    Case(
        "timeout",
        python(BATCHED + TIMEOUTS),
        [
            _row(),
            _row(parameters={"timeout": 10_000_000}),
            _row(parameters={"timeout": 1000}, error=LATE, status=503),
        ],
        has_rows=True,
    ),
    Case("timeout-fixed", python(BATCHED + FIXED_TIMEOUT), [_row(parameters={"timeout": 1000})], like="timeout"),
    Case("timeout-without-default", python(BATCHED + NO_TIMEOUT), [_row(parameters={"timeout": 1000})], like="timeout"),
    Case(
        "binary-input",
        python(TEXTS),
        [
            Request({"IN": BINARY}, [{"OUT": BINARY}]),
            Request({"IN": texts(b"\xed\xa0\x80", "☃")}, [{"OUT": texts(b"\xed\xa0\x80", "☃")}]),
        ],
    ),
    Case(
        "binary-rows",
        python("max_batch_size: 4\n" + TEXTS.replace("-1", "1")),
        [Request({"IN": texts(b"\xff", b"a", shape=(2, 1))}, [{"OUT": texts(b"\xff", b"a", shape=(2, 1))}])],
        has_rows=True,
    ),
    Case("named-like-v1", python(V1_NAMES), [_named(1), _named(2, 3)], has_rows=True),
    *(_alone(one, other) for one, other in NAMES),
    # More than gRPC takes by itself. The case "large" has that many numbers over V1.
    Case("five-mebibytes", python(LARGE_TENSORS), [Request({"IN": LARGE}, [{"OUT": LARGE}])], has_v1=False),
)
