"""Writes Triton repositories of several models: ensembles, their steps, and models that call others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.services.frameworks.triton.onnx_files import field, tensor

FLOATS = ("FP32", "-1")
ADD = """import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        if (x < 0).any():
            raise pb_utils.TritonModelException("no negative numbers")
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", x + 1)])
"""
"""y = x + 1; a request with a negative number fails."""
ADD_TWO = """import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        x, b = (pb_utils.get_input_tensor_by_name(request, name) for name in ("x", "b"))
        y = x.as_numpy() + (1 if b is None else b.as_numpy())
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", y)])
"""
"""y = x + b, or x + 1 without b."""


def tensors(kind: str, named: Mapping[str, tuple[str, ...]]) -> str:
    """name -> (type, dims, more)."""
    return "".join(
        f'{kind} {{ name: "{name}" data_type: TYPE_{spec[0]} dims: [{spec[1]}] {" ".join(spec[2:])} }}\n'
        for name, spec in named.items()
    )


def config(
    backend: str = "python",
    *,
    batch: int = 0,
    inputs: Mapping[str, tuple[str, ...]] | None = None,
    outputs: Mapping[str, tuple[str, ...]] | None = None,
    more: str = "",
) -> str:
    read = tensors("input", {"x": FLOATS} if inputs is None else inputs)
    written = tensors("output", {"y": FLOATS} if outputs is None else outputs)
    return f'backend: "{backend}"\nmax_batch_size: {batch}\n{read}{written}{more}'


def step(name: str, reads: Mapping[str, str], writes: Mapping[str, str], version: str = "-1", more: str = "") -> str:
    """`reads`, `writes`: tensor of the model -> tensor of the ensemble."""
    maps = "".join(f'input_map {{ key: "{key}" value: "{value}" }} ' for key, value in reads.items())
    maps += "".join(f'output_map {{ key: "{key}" value: "{value}" }} ' for key, value in writes.items())
    numbered = f"model_version: {version}" if version else ""
    return f'{{ model_name: "{name}" {numbered} {maps}{more} }}'


def ensemble(
    *steps: str,
    batch: int = 0,
    inputs: Mapping[str, tuple[str, ...]] | None = None,
    outputs: Mapping[str, tuple[str, ...]] | None = None,
    more: str = "",
) -> str:
    read = tensors("input", {"IN": FLOATS} if inputs is None else inputs)
    written = tensors("output", {"OUT": FLOATS} if outputs is None else outputs)
    listed = ",\n  ".join(steps)
    return (
        f'platform: "ensemble"\nmax_batch_size: {batch}\n{read}{written}'
        f"ensemble_scheduling {{ step [\n  {listed}\n] }}\n{more}"
    )


def chain(*names: str, **more: object) -> str:
    """An ensemble that sends its input through these models, one after the other."""
    between = ["IN", *(f"t{index}" for index in range(1, len(names))), "OUT"]
    steps = [step(name, {"x": between[index]}, {"y": between[index + 1]}) for index, name in enumerate(names)]
    return ensemble(*steps, **more)  # type: ignore[arg-type]


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """A name that ends with a slash is an empty folder."""
    for name, content in files.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def python_model(name: str, text: str = "", program: str = ADD) -> dict[str, str | bytes]:
    return {f"{name}/config.pbtxt": text or config(), f"{name}/1/model.py": program}


def onnx_model(
    name: str, text: str = "", operator: str = "Neg", element: int = 1, shape: tuple[int | str, ...] = ("n",)
) -> dict[str, str | bytes]:
    """y = operator(x). Without `text` it has no config.pbtxt."""
    files: dict[str, str | bytes] = {f"{name}/1/model.onnx": unary(operator, element, shape)}
    return {**files, f"{name}/config.pbtxt": text} if text else files


def unary(operator: str, element: int = 1, shape: tuple[int | str, ...] = ("n",)) -> bytes:
    """An ONNX file of one operator."""
    node = field(1, "x") + field(2, "y") + field(4, operator)
    read, written = (tensor(name, element, list(shape)) for name in ("x", "y"))
    graph = field(1, node) + field(2, "graph") + field(11, read) + field(12, written)
    return field(1, 8) + field(2, "test") + field(7, graph) + field(8, field(2, 17))
