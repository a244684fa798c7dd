"""The models that NVIDIA's client examples call, written anew: the same names, tensors and answers.

`simple` and `simple-int8` are ONNX graphs; the others are Python models.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from services.frameworks.triton import runtime
from tests.corpus.folders import IDLE
from tests.servers.triton import runtime_root

PYTHON = """import os
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        print("initialize: " + os.environ["MODEL_GREETING"])

    def execute(self, requests):
        return [self.answer(lambda name: pb_utils.get_input_tensor_by_name(request, name).as_numpy(), request)
                for request in requests]

    def answer(self, read, request):
{body}
"""

STRING = """
        first, second = read("INPUT0"), read("INPUT1")
        made = []
        for name, sign in (("OUTPUT0", 1), ("OUTPUT1", -1)):
            texts = [str(int(a) + sign * int(b)).encode() for a, b in zip(first.ravel(), second.ravel())]
            made.append(pb_utils.Tensor(name, np.array(texts, dtype=object).reshape(first.shape)))
        return pb_utils.InferenceResponse(made)
"""
# "slow" gives a client the time to take its call back.
IDENTITY = """
        time.sleep(2 if read("INPUT0").ravel()[0] == b"slow" else 0)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", read("INPUT0"))])
"""
SEQUENCE = """
        value = read("INPUT") + (1 if read("START").any() else 0)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", value.astype(np.int32))])
"""
DYNA = """
        value = read("INPUT") + (1 if read("START").any() else 0)
        value = value + (read("CORRID") if read("END").any() else 0)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", value.astype(np.int32))])
"""
REPEAT = """
        sender = request.get_response_sender()
        for value, delay in zip(read("IN"), read("DELAY")):
            time.sleep(delay / 1e6)
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([value], dtype=np.int32))]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
GRAPHS = """
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

def save(path, nodes, inputs, outputs, constants=()):
    values = [[helper.make_tensor_value_info(*value) for value in values] for values in (inputs, outputs)]
    graph = helper.make_graph(nodes, "graph", *values, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)

root = sys.argv[1]
for name, kind in (("simple", TensorProto.INT32), ("simple-int8", TensorProto.INT8)):
    save(
        f"{root}/{name}/1/model.onnx",
        [helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
         helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"])],
        [("INPUT0", kind, ["n", 16]), ("INPUT1", kind, ["n", 16])],
        [("OUTPUT0", kind, ["n", 16]), ("OUTPUT1", kind, ["n", 16])],
    )
save(
    f"{root}/brightest/1/model.onnx", [helper.make_node("Softmax", ["PIXELS"], ["SCORES"], axis=1)],
    [("PIXELS", TensorProto.FLOAT, ["n", 4])], [("SCORES", TensorProto.FLOAT, ["n", 4])],
)
"""


def tensors(kind: str, *entries: tuple[str, str, int]) -> str:
    listed = ", ".join(f'{{ name: "{name}" data_type: TYPE_{type_} dims: [{size}] }}' for name, type_, size in entries)
    return f"{kind} [{listed}]\n"


def pair(datatype: str) -> str:
    return tensors("input", ("INPUT0", datatype, 16), ("INPUT1", datatype, 16)) + tensors(
        "output", ("OUTPUT0", datatype, 16), ("OUTPUT1", datatype, 16)
    )


def sequence(**controls: str) -> str:
    """One value in and one out; `controls` as Triton hands them to the model."""
    listed = ", ".join(f'{{ name: "{name}" control [{{ {control} }}] }}' for name, control in controls.items())
    io = tensors("input", ("INPUT", "INT32", 1)) + tensors("output", ("OUTPUT", "INT32", 1))
    batching = f"sequence_batching {{ {IDLE} direct {{}} control_input [{listed}] }}"
    return f'backend: "python" max_batch_size: 4\n{io}{batching}\n'


START = "kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1]"
END = "kind: CONTROL_SEQUENCE_END int32_false_true: [0, 1]"
CORRID = "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64"
ONNX = {
    "simple": f'platform: "onnxruntime_onnx" max_batch_size: 8\n{pair("INT32")}',
    "simple-int8": f'platform: "onnxruntime_onnx" max_batch_size: 8\n{pair("INT8")}',
    "brightest": 'platform: "onnxruntime_onnx" max_batch_size: 8\n'
    + tensors("input", ("PIXELS", "FP32", 4))
    + 'output [{ name: "SCORES" data_type: TYPE_FP32 dims: [4] label_filename: "labels.txt" }]\n',
}
PROGRAMS = {
    "simple-string": (f'backend: "python" max_batch_size: 8\n{pair("STRING")}', STRING),
    "simple-identity": (
        'backend: "python" max_batch_size: 8\n'
        + tensors("input", ("INPUT0", "STRING", -1))
        + tensors("output", ("OUTPUT0", "STRING", -1)),
        IDENTITY,
    ),
    "simple-sequence": (sequence(START=START), SEQUENCE),
    "simple-dyna-sequence": (sequence(START=START, END=END, CORRID=CORRID), DYNA),
    "repeat-int32": (
        'backend: "python" max_batch_size: 0 model_transaction_policy { decoupled: true }\n'
        + tensors("input", ("IN", "INT32", -1), ("DELAY", "UINT32", -1), ("WAIT", "UINT32", 1))
        + tensors("output", ("OUT", "INT32", 1)),
        REPEAT,
    ),
}
NAMES = (*ONNX, *PROGRAMS)
GREETING = "déjà vu ☃ 日本"
"""A variable of every service, which the Python models print."""
VALUES = [0, 11, 7, 5, 3, 2, 0, 1]
"""What the examples send in a sequence."""


def write(folder: Path) -> None:
    for name, config in ONNX.items() | {name: config for name, (config, _) in PROGRAMS.items()}.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(config)
    for name, (_, body) in PROGRAMS.items():
        (folder / name / "1" / "model.py").write_text(PYTHON.format(body=body.strip("\n")))
    (folder / "brightest" / "labels.txt").write_text("red\ngreen\nblue\ngrey\n")
    python = runtime.locate(runtime_root()).python
    subprocess.run([python, "-c", GRAPHS, folder], check=True, timeout=60)
