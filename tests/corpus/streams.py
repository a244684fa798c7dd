"""Decoupled models: any number of responses for a request, over gRPC streams."""

from __future__ import annotations

import numpy as np

from tests.corpus.case import Case, Request, array
from tests.corpus.folders import HEAD, python
from tests.corpus.tensors import tensor

CONFIG = (
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
    Case("stream", python(CONFIG, HEAD + SEND), [_stream(3, 1, 4), _stream(1), _stream()], has_v1=False),
    Case("stream-thread", python(CONFIG, "import threading\n" + HEAD + IN_THREAD), [_stream(*range(20))], has_v1=False),
)
