"""Versions, files beside the model, and other ways to lay out a model's folder."""

from __future__ import annotations

import numpy as np

from tests.corpus.case import Case, Request, array
from tests.corpus.folders import ONE, answering, files, python
from tests.corpus.tensors import tensor

VERSION = answering(
    'return [pb_utils.Tensor("OUT", np.array([self.version], np.int64))]',
    initialize="""
self.version = int(args["model_version"])
""",
)
TENSORS = tensor("input", "IN", "INT64", "1") + tensor("output", "OUT", "INT64", "1")
CONFIG = f'backend: "python"\n{TENSORS}'

MISREAD = (
    "Triton takes the folder 2_old for version 2, and finds no folder 2 then: give it a name that begins with a letter."
)


def _version(number: int, version: str = "") -> Request:
    return Request({"IN": array([0], np.int64)}, [{"OUT": array([number], np.int64)}], version=version)


def _versions(name: str, policy: str, *numbers: str, requests: list[Request], **more: object) -> Case:
    contents = {f"{number}/model.py": VERSION for number in numbers}
    """Callers see "versions-latest" in each of those that are served."""
    like = "versions-latest" if requests and name != "versions-latest" else ""
    write = files({"config.pbtxt": CONFIG + policy, **contents})
    return Case(name, write, requests, like=like, **more)  # type: ignore[arg-type]


def _lacking(name: str, backend: str, *contents: str, config: str = "") -> Case:
    """A model of a backend that the bundled runtime does not have."""
    text = (config or f'backend: "{backend}"\n') + ONE
    reason = (
        f"The model needs the Triton backend {backend}, which this runtime does not have (it has onnxruntime, python)."
    )
    folder = files({"config.pbtxt": text, **dict.fromkeys(contents, "")})
    return Case(name, folder, refused=[reason], in_report=False)


LACKING = (
    _lacking("pytorch", "pytorch", "1/model.pt", config='platform: "pytorch_libtorch"\n'),
    _lacking("tensorrt", "tensorrt", "1/model.plan", config='platform: "tensorrt_plan"\n'),
    _lacking(
        "savedmodel", "tensorflow", "1/model.savedmodel/saved_model.pb", config='platform: "tensorflow_savedmodel"\n'
    ),
    _lacking("openvino", "openvino", "1/model.xml", "1/model.bin"),
    _lacking("xgboost", "fil", "1/xgboost.json"),
    _lacking("dali", "dali", "1/model.dali"),
    _lacking("custom-backend", "mine", "1/libtriton_mine.so"),
)

CASES = (
    *LACKING,
    _versions("versions-default", "", "1", "2", "10", requests=[_version(10)]),
    _versions(
        "versions-latest",
        "version_policy { latest { num_versions: 2 } }",
        "1",
        "2",
        "10",
        requests=[_version(10), _version(2, "2"), _version(10, "10")],
    ),
    _versions(
        "versions-all",
        "version_policy { all { } }",
        "1",
        "3",
        requests=[_version(3), _version(1, "1")],
    ),
    _versions(
        "versions-specific",
        "version_policy { specific { versions: [ 1, 2 ] } }",
        "1",
        "2",
        "3",
        requests=[_version(2), _version(1, "1")],
    ),
    _versions(
        "versions-missing",
        "version_policy { specific { versions: [ 1, 4 ] } }",
        "1",
        "2",
        requests=[_version(1)],
        notes=["version_policy names version 4, which has no folder: Triton leaves it out."],
    ),
    _versions(
        "versions-none",
        "version_policy { specific { versions: [ 4 ] } }",
        "1",
        requests=[],
        refused=["version_policy asks for version 4, and there is version 1: correct it, or leave it out."],
    ),
    _versions(
        "versions-latest-zero",
        "version_policy { latest { } }",
        "1",
        requests=[],
        refused=["version_policy { latest } asks for no version: write num_versions: 1, or leave it out."],
    ),
    _versions("version-zero", "", "0", requests=[_version(0)]),
    _versions(
        "version-padded",
        "",
        "01",
        requests=[],
        refused=["The folder 01 is no version to Triton: name it with a number that begins with 1 to 9, as 1."],
    ),
    _versions(
        # Triton would wait for ever for the model of version 2.
        "version-suffix",
        "",
        "1",
        "2_old",
        requests=[],
        refused=[MISREAD],
    ),
    _versions("version-suffix-older", "", "2", "1_old", requests=[_version(2)]),
    Case(
        "label-missing",
        python(tensor("input", "IN", "FP32") + tensor("output", "OUT", "FP32", "-1", 'label_filename: "labels.txt"')),
        refused=["labels.txt is missing, which config.pbtxt names as label_filename: add it."],
    ),
    Case(
        "warmup-missing",
        python(
            ONE
            + 'model_warmup [ { name: "data" batch_size: 1 inputs { key: "IN" '
            + 'value { data_type: TYPE_FP32 dims: [ 2 ] input_data_file: "rows.bin" } } } ]'
        ),
        refused=["warmup/rows.bin is missing, which config.pbtxt names as input_data_file: add it."],
    ),
)
