"""Sequences beyond the usual controls, and batches that Triton makes of uneven inputs, with models in Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.corpus.case import Case, Request, array
from tests.corpus.folders import ECHO, HEAD, IDLE, answering, python
from tests.corpus.scheduling import SEQUENCES
from tests.corpus.tensors import tensor

ITERATES = (
    HEAD
    + """class TritonPythonModel:
    # Counts down from IN, one step in each batch, and answers with the number of steps.
    def initialize(self, args):
        self.steps = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        sequence = request.correlation_id()
        left = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()[0, 0] - self.steps.get(sequence, 0)
        if left > 0:
            self.steps[sequence] = self.steps.get(sequence, 0) + 1
            request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
            return None
        steps = np.array([[self.steps.pop(sequence, 0)]], dtype=np.int32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUT", steps)])
"""
)
PAIR = tensor("input", "IN", "INT32", "1") + tensor("output", "OUT", "INT32", "1")
STATE = """sequence_batching {
  state [ {
    input_name: "sum_in" output_name: "sum_out" data_type: TYPE_INT32 dims: [ 1 ]
    initial_state { name: "zero" data_type: TYPE_INT32 dims: [ 1 ] zero_data: true }
  } ]
}
"""
TEXT_ID = """sequence_batching {
  control_input [ { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } ] } ]
}
"""
UNREADABLE_ID = (
    "sequence_batching hands the model the sequence's id as TYPE_STRING, which the Python backend of this release "
    "cannot read: write data_type: TYPE_UINT64, or leave that control_input out."
)
NO_STATE = (
    "sequence_batching has a state, of which Triton's Python backend hands out the first value only and keeps none: "
    "leave it out, and keep it in model.py for each correlation_id."
)
RAGGED = answering("""
values = get("IN")
return [pb_utils.Tensor("OUT", values.sum(axis=1, keepdims=True))]
""")
UNEVEN = tensor("input", "IN", "FP32", "-1", "allow_ragged_batch: true") + tensor("output", "OUT", "FP32", "1")
COUNTS = (
    'batch_input [ { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "COUNT" data_type: TYPE_FP32 '
    'source_input: "IN" } ]\n'
)


def _one(value: int) -> Any:
    return array([[value]], np.int32)


def _sum(*rows: list[float]) -> Request:
    values = array(rows)
    return Request({"IN": values}, [{"OUT": values.sum(axis=1, keepdims=True)}])


CASES = (
    Case(
        "iterative-sequence",
        python(f"max_batch_size: 4\nsequence_batching {{ {IDLE} iterative_sequence: true }}\n{PAIR}", ITERATES),
        [Request({"IN": _one(5)}, [{"OUT": _one(5)}]), Request({"IN": _one(0)}, [{"OUT": _one(0)}])],
        has_rows=True,
        like="batches",
    ),
    Case(
        "sequence-without-controls",
        python(f"max_batch_size: 4\nsequence_batching {{ {IDLE} }}\n{PAIR}", ECHO),
        [
            Request({"IN": _one(1)}, [{"OUT": _one(1)}], start=True),
            Request({"IN": _one(2)}, [{"OUT": _one(2)}], end=True),
        ],
        stateful=True,
        has_v1=False,
        notes=[SEQUENCES],
        like="sequence-direct",
    ),
    Case(
        "sequence-text-id",
        python("max_batch_size: 4\n" + TEXT_ID + PAIR, ECHO),
        refused=[UNREADABLE_ID],
        notes=[SEQUENCES],
    ),
    Case("state-in-python", python("max_batch_size: 4\n" + STATE + PAIR, ECHO), refused=[NO_STATE], notes=[SEQUENCES]),
    Case(
        "ragged",
        python("max_batch_size: 4\ndynamic_batching { }\n" + UNEVEN, RAGGED),
        [_sum([1, 2, 3]), _sum([1, 2], [3, 4])],
        has_rows=True,
        like="batches",
    ),
    Case(
        "batch-input-in-python",
        python("max_batch_size: 4\n" + COUNTS + UNEVEN, RAGGED),
        [_sum([1, 2, 3])],
        has_rows=True,
        like="batches",
        notes=["batch_input and batch_output are ignored: the Python backend has none."],
    ),
)
