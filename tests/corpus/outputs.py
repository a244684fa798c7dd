"""Outputs as Python models give them: halves, bytes that are no text, lone values, other shapes than configured, and
streams of any number of responses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.corpus.case import Case, Request, array, datatype, texts
from tests.corpus.folders import HEAD, answering, python
from tests.corpus.tensors import tensor

COUNT = tensor("input", "IN", "INT32")
TWO = array([1, 2], np.int32)
LARGEST = [2**64 - 1, 2**53 + 1]
BINARY = (b"\xff\x00\xfe", b"plain", b"")


def _outputs() -> Case:
    """Each of them from `n`, the array of IN: its dims in config.pbtxt, how it is made, and what callers get."""
    outputs: dict[str, tuple[str, str, Any]] = {
        "binary": ("-1", f"np.array({list(BINARY)!r}, dtype=object)", texts(*BINARY)),
        "str": ("-1", 'np.array(["é", "☃"], dtype=object)', texts("é", "☃")),
        "unicode": ("-1", 'np.array(["é", "ab"]).astype(object)', texts("é", "ab")),
        "lone": ("1", "np.array(n.sum(), dtype=np.float32).reshape(1)", array([3])),
        "scalar": ("1", "np.array(n.sum(), dtype=np.float32)", array(3)),
        "other_dims": ("2", "np.stack([n, n]).astype(np.float32)", array([[1, 2], [1, 2]])),
        "no_numbers": ("-1", "np.array([np.nan, np.inf, -np.inf], np.float32)", array([np.nan, np.inf, -np.inf])),
        "largest": ("-1", f"np.array({LARGEST}, np.uint64)", array(LARGEST, np.uint64)),
        "empty": ("-1", "np.zeros((0,), np.float32)", array([])),
        "transposed": (
            "3, 2",
            "np.arange(6, dtype=np.int32).reshape(2, 3).T",
            array([[0, 3], [1, 4], [2, 5]], np.int32),
        ),
    }
    config, tensors = COUNT + tensor("output", "never", "INT32"), ""
    for name, (dims, code, values) in outputs.items():
        config += tensor("output", name, datatype(values).replace("BYTES", "STRING"), dims)
        tensors += f'pb_utils.Tensor("{name}", {code}), '
    model = answering(f'n = get("IN")\nreturn [{tensors}]')
    answers = {name: values for name, (_, _, values) in outputs.items()}
    return Case("outputs", python(config, model), [Request({"IN": TWO}, [answers])])


STREAM = (
    "model_transaction_policy { decoupled: true }\n"
    + tensor("input", "IN", "INT32")
    + tensor("output", "OUT", "INT32", "1")
)
SEND = """class TritonPythonModel:
    # A response for each value, from the thread that got the request.
    def execute(self, requests):
        for request in requests:
            self.answer(pb_utils.get_input_tensor_by_name(request, "IN").as_numpy(), request.get_response_sender())

    def answer(self, values, sender):
        for value in values:
            tensor = pb_utils.Tensor("OUT", np.array([value], dtype=np.int32))
            sender.send(pb_utils.InferenceResponse([tensor]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
IN_THREAD = (
    SEND.replace("from the thread that got the request", "from a thread of its own")
    .replace("            self.answer(", "            arguments = (")
    .replace(
        "request.get_response_sender())\n",
        "request.get_response_sender())\n            threading.Thread(target=self.answer, args=arguments).start()\n",
    )
)


def _stream(*values: int) -> Request:
    return Request({"IN": array(values, np.int32)}, [{"OUT": array([value], np.int32)} for value in values])


CASES = (
    _outputs(),
    Case(
        "fp16-output",
        python(
            COUNT + tensor("output", "OUT", "FP16"),
            answering('return [pb_utils.Tensor("OUT", get("IN").astype(np.float16))]'),
        ),
        [Request({"IN": TWO}, [{"OUT": array([1, 2], np.float16)}])],
    ),
    Case("stream", python(STREAM, HEAD + SEND), [_stream(3, 1, 4), _stream(1), _stream()], has_v1=False),
    Case(
        "stream-thread",
        python(STREAM, "import threading\n" + HEAD + IN_THREAD),
        [_stream(*range(20))],
        has_v1=False,
        like="stream",
    ),
)
