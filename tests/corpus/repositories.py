"""Folders of several models: ensembles, and Python models that call others, alone and together."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests import repositories as write
from tests.corpus.case import Case, Request, array
from tests.corpus.folders import HEAD, SUM, files
from tests.repositories import FLOATS, chain, config, ensemble, onnx_model, python_model, step

STREAMING = "model_transaction_policy { decoupled: true }"
COUNTS = (
    HEAD
    + """class TritonPythonModel:
    # y: x times 1, times 2, times 3.
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            for times in (1, 2, 3):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("y", x * np.float32(times))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
)
SEQUENCES = """sequence_batching {
  max_sequence_idle_microseconds: 60000000
  oldest { max_candidate_sequences: 4 }
  control_input [
    { name: "START" control [{ kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] }] },
    { name: "CORRID" control [{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 }] }
  ]
}
"""
ASK = """def ask(name, tensor, output="y", **options):
    request = pb_utils.InferenceRequest(
        model_name=name, requested_output_names=[output], inputs=[pb_utils.Tensor("x", tensor)], **options
    )
    return request


def value(response, output="y"):
    if response.has_error():
        raise pb_utils.TritonModelException(response.error().message())
    return pb_utils.get_output_tensor_by_name(response, output).as_numpy()


"""
CALLS = (
    HEAD
    + ASK
    + """class TritonPythonModel:
    # Calls what the text `how` names, in the way that it names.
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        how = pb_utils.get_input_tensor_by_name(request, "how").as_numpy()[0].decode()
        x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", getattr(self, how, self.python_model)(x))])

    def python_model(self, x):
        return value(ask("add", x).exec())

    def onnx_model(self, x):
        return value(ask("neg", x).exec())

    def one_after_another(self, x):
        return value(ask("neg", value(ask("add", x).exec())).exec())

    def ensemble(self, x):
        request = pb_utils.InferenceRequest(
            model_name="flow", requested_output_names=["OUT"], inputs=[pb_utils.Tensor("IN", x)]
        )
        return value(request.exec(), "OUT")

    def stream(self, x):
        parts = [value(one) for one in ask("counts", x).exec(decoupled=True) if one.output_tensors()]
        return np.concatenate(parts)

    def another_version(self, x):
        return value(ask("add", x, model_version=2).exec())

    def unknown(self, x):
        return value(ask("nobody", x).exec())

    def load(self, x):
        pb_utils.load_model("add")
        return x
"""
)
AT_ONCE = (
    HEAD.replace("import json\n", "import asyncio\n")
    + ASK
    + """class TritonPythonModel:
    async def execute(self, requests):
        return [await self.answer(request) for request in requests]

    async def answer(self, request):
        x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        answers = await asyncio.gather(ask("add", x).async_exec(), ask("neg", x).async_exec())
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", sum(value(answer) for answer in answers))])
"""
)
FORWARDS = (
    HEAD
    + ASK
    + """class TritonPythonModel:
    # Decoupled itself: hands on each response of a decoupled model, negated by a third.
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            for one in ask("counts", x).exec(decoupled=True):
                if one.output_tensors():
                    negated = value(ask("neg", value(one)).exec())
                    sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("y", negated)]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
)
LOADS = (
    HEAD
    + """class TritonPythonModel:
    def initialize(self, args):
        pb_utils.load_model("add")

    def execute(self, requests):
        return []
"""
)
ONNX = config("onnxruntime")
ROWS = array([[1, 2], [3, 4], [5, 6]])
ONE = array([1, 2, 3])
HOW = {"how": ("STRING", "1"), "x": FLOATS}
READ = "Inputs and outputs were read from 1/model.onnx."


def _how(how: str, y: Any = None, **more: Any) -> Request:
    inputs = {"how": np.array([how.encode()], dtype=object), "x": ONE}
    return Request(inputs, [{"y": array(y)}] if y is not None else (), **more)


def _called() -> Case:
    folder = {
        **python_model("calls", config(inputs=HOW), CALLS),
        **onnx_model("neg", ONNX),
        **python_model("add", config(more="version_policy { all {} }")),
        "add/2/model.py": write.ADD.replace("x + 1", "x + 2"),
        **python_model("counts", config(more=STREAMING), COUNTS),
        "flow/config.pbtxt": chain("add", "neg"),
    }
    requests = (
        _how("python_model", [3, 4, 5]),
        _how("onnx_model", [-1, -2, -3]),
        _how("one_after_another", [-3, -4, -5]),
        _how("ensemble", [-3, -4, -5]),
        _how("stream", [1, 2, 3, 2, 4, 6, 3, 6, 9]),
        _how("another_version", [3, 4, 5]),
        _how("unknown", error="nobody"),
        _how("load", error="pb_utils.load_model is not there"),
    )
    inputs = ["how BYTES [1]", "x FP32 [-1]"]
    return Case("calls-others", files(folder), requests, config={"model": "calls"}, inputs=inputs)


def _in_and_out(x: Any, y: Any, **more: Any) -> Request:
    return Request({"IN": array(x)}, [{"OUT": array(y)}], **more)


CASES = (
    Case(
        "ensemble",
        files(
            {
                **onnx_model("neg", ONNX),
                **python_model("add"),
                **onnx_model("abs", operator="Abs"),
                "flow/1/": "",
                "flow/config.pbtxt": chain("add", "neg", "abs"),
                "README.md": "Three steps.",
            }
        ),
        [
            _in_and_out([1, 2], [2, 3]),
            Request({"IN": array([-1.0])}, error="no negative numbers"),
        ],
        inputs=["IN FP32 [-1]"],
        notes=[f"abs: {READ}"],
    ),
    Case(
        "ensemble-in-ensemble",
        files(
            {
                **onnx_model("neg", config("onnxruntime", batch=8, more="dynamic_batching {}"), shape=("n", "m")),
                **python_model("add", config(batch=4)),
                "inner/config.pbtxt": chain("add", "neg", batch=4),
                "inner/1/": "",
                "outer/1/": "",
                "outer/config.pbtxt": ensemble(
                    step("inner", {"IN": "IN"}, {"OUT": "t"}), step("neg", {"x": "t"}, {"y": "OUT"}), batch=4
                ),
            }
        ),
        [_in_and_out(ROWS, ROWS + 1)],
        inputs=["IN FP32 [-1]"],
        has_rows=True,
    ),
    Case(
        "ensemble-branches",
        files(
            {
                **python_model("add", config(inputs={"x": FLOATS, "b": (*FLOATS, "optional: true")}), write.ADD_TWO),
                **onnx_model("neg", ONNX),
                "flow/1/": "",
                "flow/config.pbtxt": ensemble(
                    step("neg", {"x": "A"}, {"y": "minus"}),
                    step("add", {"x": "minus", "b": "B"}, {"y": "SUM"}),
                    inputs={"A": FLOATS, "B": (*FLOATS, "optional: true")},
                    outputs={"SUM": FLOATS, "minus": FLOATS},
                ),
            }
        ),
        [
            Request({"A": ONE, "B": ONE * 10}, [{"SUM": ONE * 9, "minus": -ONE}]),
            Request({"A": ONE}, [{"SUM": 1 - ONE, "minus": -ONE}]),
        ],
    ),
    Case(
        "ensemble-decoupled",
        files(
            {
                **python_model("counts", config(more=STREAMING), COUNTS),
                **onnx_model("neg", ONNX),
                "flow/1/": "",
                "flow/config.pbtxt": chain("counts", "neg"),
            }
        ),
        [Request({"IN": ONE}, [{"OUT": -ONE * times} for times in (1, 2, 3)])],
        has_v1=False,
    ),
    Case(
        "ensemble-sequences",
        files(
            {
                **python_model("sum", config(batch=2, more=SEQUENCES), SUM),
                "flow/1/": "",
                "flow/config.pbtxt": chain("sum", batch=2),
            }
        ),
        [
            _in_and_out([[1, 2]], [[1, 2]], start=True),
            _in_and_out([[10, 20]], [[11, 22]]),
            _in_and_out([[0, 1]], [[11, 23]], end=True),
        ],
        notes=["sum: The model has sequences: each one stays at the replica that its sequence_id leads to."],
        stateful=True,
        has_v1=False,
    ),
    Case(
        "ensemble-versions",
        files(
            {
                **python_model("add", config(more="version_policy { all {} }")),
                "flow/1/": "",
                "add/2/model.py": write.ADD.replace("x + 1", "x * 10"),
                "flow/config.pbtxt": ensemble(
                    step("add", {"x": "IN"}, {"y": "t"}, version="1"),
                    step("add", {"x": "t"}, {"y": "OUT"}, version="2"),
                ),
            }
        ),
        [_in_and_out([1, 2], [20, 30])],
    ),
    Case(
        "ensemble-of-callers",
        files(
            {
                **python_model("both", program=AT_ONCE),
                **python_model("add"),
                **onnx_model("neg", ONNX),
                "flow/1/": "",
                "flow/config.pbtxt": chain("both", "add"),
            }
        ),
        [_in_and_out([1, 2], [2, 2])],
    ),
    _called(),
    Case(
        "calls-decoupled",
        files(
            {
                **python_model("forwards", config(more=STREAMING), FORWARDS),
                **onnx_model("neg", ONNX),
                **python_model("counts", config(more=STREAMING), COUNTS),
            }
        ),
        [Request({"x": ONE}, [{"y": -ONE * times} for times in (1, 2, 3)])],
        config={"model": "forwards"},
        has_v1=False,
    ),
    Case(
        "step-alone",
        files(
            {
                **onnx_model("neg", ONNX),
                **python_model("add"),
                "flow/1/": "",
                "flow/config.pbtxt": chain("neg", "add"),
            }
        ),
        [Request({"x": ONE}, [{"y": -ONE}])],
        config={"model": "neg"},
        notes=["Not loaded, because nothing here calls it: add, flow."],
    ),
    Case("repository-of-one", files({**onnx_model("neg", ONNX), "NOTICE": "x"}), [Request({"x": ONE}, [{"y": -ONE}])]),
    Case(
        "ensemble-circle",
        files(
            {
                f"{name}/config.pbtxt": ensemble(step(other, {"IN": "IN"}, {"OUT": "OUT"}))
                for name, other in (("one", "two"), ("two", "one"))
            }
        ),
        config={"model": "one"},
        refused=[
            "one: The ensemble one calls itself through its step two: Triton allows no circle.",
            "two: The ensemble two calls itself through its step one: Triton allows no circle.",
        ],
    ),
    Case(
        "calls-load-model",
        files({**python_model("loads", program=LOADS), **python_model("add")}),
        config={"model": "loads"},
        like="raises-at-start",
        fails="calls-load-model: The model cannot be loaded: pb_utils.load_model is not there: a service loads all "
        "models of its folder when it starts, and no others.",
    ),
)
