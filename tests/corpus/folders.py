"""Writes model folders for the corpus: text in, files out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.corpus.case import Write

# A busy machine may take longer than Triton's default of one second between two requests of a sequence.
IDLE = "max_sequence_idle_microseconds: 60000000"
HEAD = "import json\n\nimport numpy as np\nimport triton_python_backend_utils as pb_utils\n\n\n"
ECHO = (
    HEAD
    + """class TritonPythonModel:
    # Gives its inputs back, the first as the first output.
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.names = [(i["name"], o["name"]) for i, o in zip(config["input"], config["output"])]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        pairs = [(pb_utils.get_input_tensor_by_name(request, name), output) for name, output in self.names]
        return pb_utils.InferenceResponse([pb_utils.Tensor(output, given.as_numpy()) for given, output in pairs])
"""
)
SUM = (
    HEAD
    + """class TritonPythonModel:
    # Adds up a sequence: its first output is the sum so far, and a second one lists the controls of the request.
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.input = config["input"][0]["name"]
        self.outputs = [output["name"] for output in config["output"]]
        self.controls = [control["name"] for control in config["sequence_batching"]["control_input"]]
        self.sums = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        def get(name):
            return pb_utils.get_input_tensor_by_name(request, name).as_numpy()

        controls = {name: get(name).item() for name in self.controls}
        sequence = controls.pop("CORRID")
        total = get(self.input) if controls["START"] else self.sums[sequence] + get(self.input)
        self.sums[sequence] = total
        if controls.get("END"):
            del self.sums[sequence]
        answers = total, np.array([[*controls.values()]], dtype=np.int32)
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self.outputs, answers)])
"""
)
"""Needs controls named START and CORRID."""
ONE = """input [ { name: "IN" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] } ]
"""
"""Tensors of the simplest model."""


def files(contents: Mapping[str, str | bytes]) -> Write:
    """Writes each file, relative to the model's folder; a name that ends with a slash is an empty folder."""

    def write(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            path = folder / name
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def python(config: str, code: str = ECHO, others: Mapping[str, str | bytes] | None = None) -> Write:
    """A Python model of version 1 with this config.pbtxt, and other files beside it."""
    return files({"config.pbtxt": f'backend: "python"\n{config}', "1/model.py": code, **(others or {})})


def answering(body: str, *, initialize: str = "", finalize: str = "") -> str:
    """A Python model whose answer to a request is made by `body`: statements that end with a list of tensors.

    `get(name)` is an input as an array, or None where the request leaves it out.
    """
    parts = [HEAD, "class TritonPythonModel:\n"]
    if initialize:
        parts.append(f"    def initialize(self, args):\n{_indent(initialize)}\n")
    parts.append(
        """    def execute(self, requests):
        return [pb_utils.InferenceResponse(self.answer(request)) for request in requests]

    def answer(self, request):
        def get(name):
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            return None if tensor is None else tensor.as_numpy()

"""
    )
    parts.append(_indent(body))
    if finalize:
        parts.append(f"\n    def finalize(self):\n{_indent(finalize)}")
    return "".join(parts)


def _indent(code: str) -> str:
    return "".join(f"        {line}\n" if line.strip() else "\n" for line in code.strip("\n").splitlines())
