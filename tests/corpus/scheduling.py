"""Schedulers, queues and sequences, as Triton documents them, with models in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.corpus.case import Case, Request, array
from tests.corpus.folders import IDLE, ONE, SUM, python

BATCHED = """max_batch_size: 8
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 2 ] } ]
"""
ROWS = array([[1, 2], [3, 4], [5, 6]])
SEQUENCES = "The model has sequences: each one stays at the replica that its sequence_id leads to."
SUM_TENSORS = """input [ { name: "IN" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [
  { name: "SUM" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "CONTROLS" data_type: TYPE_INT32 dims: [ 3 ] }
]
"""
CONTROLS = """  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
    { name: "END" control [ { kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ] } ] },
    { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } ] },
    { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
  ]
"""


def _same(values: Any = ROWS, **more: Any) -> Request:
    return Request({"IN": values}, [{"OUT": values}], **more)


def _sums(*steps: int) -> list[Request]:
    """One sequence, from its start to its end."""
    total, requests, last = 0, [], len(steps) - 1
    for index, step in enumerate(steps):
        total += step
        controls = [index == 0, index == last, True]
        outputs = {"SUM": array([[total]], np.int32), "CONTROLS": array([controls], np.int32)}
        requests.append(Request({"IN": array([[step]], np.int32)}, [outputs], start=index == 0, end=index == last))
    return requests


def _batcher(name: str, text: str, *, others: Mapping[str, str | bytes] | None = None, **more: Any) -> Case:
    """Callers see "batches" in each of them."""
    like = "" if name == "batches" else "batches"
    return Case(name, python(BATCHED + text, others=others), [_same()], has_rows=True, like=like, **more)


def _sequence(name: str, text: str, like: str = "sequence-direct") -> Case:
    return Case(
        name,
        python(f"max_batch_size: 4\nsequence_batching {{\n  {IDLE}\n{text}{CONTROLS}}}\n{SUM_TENSORS}", SUM),
        _sums(3, 4, 5),
        stateful=True,
        has_v1=False,
        notes=[SEQUENCES],
        like=like,
    )


SERVED = (
    Case("plain", python(ONE), [_same(array([1, 2, 3]))], inputs=["IN FP32 [-1]"]),
    _batcher("batches", "", inputs=["IN FP32 [2]"]),
    _batcher("dynamic", "dynamic_batching { }\n"),
    _batcher("preferred", "dynamic_batching { preferred_batch_size: [ 2, 4 ] max_queue_delay_microseconds: 500 }\n"),
    _batcher(
        "priorities",
        """dynamic_batching {
  priority_levels: 3
  default_priority_level: 2
  priority_queue_policy { key: 1 value { timeout_action: DELAY default_timeout_microseconds: 1000000 } }
  default_queue_policy { max_queue_size: 16 allow_timeout_override: true }
}
""",
    ),
    _batcher(
        "queue-policy",
        """dynamic_batching {
  preserve_ordering: true
  default_queue_policy {
    timeout_action: REJECT default_timeout_microseconds: 10000000 max_queue_size: 100 allow_timeout_override: true
  }
}
""",
    ),
    Case(
        "dynamic-unbatched",
        python("dynamic_batching { }\n" + ONE),
        [_same(array([1, 2, 3]))],
        like="plain",
        notes=["Dynamic batching forms no batches while max_batch_size is 0: set it to form some."],
    ),
    _sequence(
        "sequence-direct", "  direct { minimum_slot_utilization: 0.5 max_queue_delay_microseconds: 100 }\n", like=""
    ),
    _sequence(
        "sequence-oldest",
        "  oldest { max_candidate_sequences: 4 preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 100 }\n",
    ),
    _sequence("sequence-default", ""),
)
OPTIONS = (
    _batcher(
        "options",
        """response_cache { enable: true }
dynamic_batching { }
metric_tags { key: "team" value: "vision" }
model_metrics { metric_control [
  { metric_identifier { family: "nv_inference_first_response_histogram_ms" } histogram_options { buckets: [ 1, 10 ] } }
] }
optimization {
  priority: PRIORITY_MAX input_pinned_memory { enable: true } output_pinned_memory { enable: false }
  gather_kernel_buffer_threshold: 4 eager_batching: true
}
instance_group [
  { name: "a" count: 1 kind: KIND_CPU
    rate_limiter { resources [ { name: "R1" count: 4 }, { name: "R2" global: true count: 2 } ] priority: 2 } },
  { name: "b" count: 2 kind: KIND_MODEL }
]
model_warmup [
  { name: "zeros" batch_size: 1 inputs { key: "IN" value { data_type: TYPE_FP32 dims: [ 2 ] zero_data: true } } },
  { name: "random" batch_size: 2 count: 2
    inputs { key: "IN" value { data_type: TYPE_FP32 dims: [ 2 ] random_data: true } } },
  { name: "data" batch_size: 1
    inputs { key: "IN" value { data_type: TYPE_FP32 dims: [ 2 ] input_data_file: "rows.bin" } } }
]
""",
        others={"warmup/rows.bin": bytes(8)},
        notes=[
            "model_metrics is left out: the bundled Triton does not know it.",
            "response_cache is ignored: a service keeps no answers.",
            "rate_limiter is ignored: services start Triton without --rate-limit.",
        ],
    ),
    _batcher(
        "instance-gpu",
        "instance_group [ { count: 1 kind: KIND_GPU gpus: [ 0 ] } ]\n",
        notes=["config.pbtxt asks for a GPU; a service without one runs it on the CPU."],
    ),
    _batcher(
        "form-fields",
        "",
        config={
            "instances": 2,
            "max_batch_size": 16,
            "dynamic_batching": {"preferred_batch_size": [8], "max_queue_delay_microseconds": 200},
        },
    ),
)
CASES = (*SERVED, *OPTIONS)
