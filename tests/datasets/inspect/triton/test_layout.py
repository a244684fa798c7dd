"""Errors in the layout of a Triton model are explained before anything starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datasets.inspect.folder import inspect
from datasets.inspect.triton import layout

CONFIG = """backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: -1 }
output { name: "y" data_type: TYPE_FP32 dims: -1 }"""
FLOW = """platform: "ensemble"
input { name: "in" data_type: TYPE_FP32 dims: -1 }
output { name: "out" data_type: TYPE_FP32 dims: -1 }
ensemble_scheduling { step [
  { model_name: "first" model_version: -1 input_map { key: "x" value: "in" } output_map { key: "y" value: "between" } },
  { model_name: "second" model_version: -1 input_map { key: "x" value: "between" }
    output_map { key: "z" value: "out" } }
] }
"""


def files(root: Path, **contents: str) -> Path:
    """`one__two="..."` is the file one/two; a name without a dot is a folder."""
    root.mkdir(exist_ok=True)
    for name, content in contents.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"config_dot_pbtxt": CONFIG}, "put the model file into a folder named 1"),
        ({"config_dot_pbtxt": CONFIG, "model_dot_py": ""}, "make a folder named 1 and move model.py into it"),
        ({"config_dot_pbtxt": CONFIG, "v1__model_dot_py": ""}, "The folder v1 is no version to Triton"),
        ({"config_dot_pbtxt": CONFIG, "01__model_dot_py": ""}, "The folder 01 is no version to Triton"),
        (
            {"config_dot_pbtxt": CONFIG, "1__net_dot_py": ""},
            'Rename net.py, or write default_model_filename: "net.py"',
        ),
        (
            {"config_dot_pbtxt": CONFIG, "1__net_dot_onnx": ""},
            "1/model.py is missing: the python backend loads it. The folder holds net.onnx",
        ),
        ({"config_dot_pbtxt": "max_batch_size: 0", "1__net_dot_bin": ""}, "holds net.bin, which tells no backend"),
        (
            {"config_dot_pbtxt": CONFIG + "\nversion_policy { specific { versions: 3 } }", "1__model_dot_py": ""},
            "asks for version 3, and there is version 1",
        ),
        (
            {"config_dot_pbtxt": 'platform: "onnxruntime"', "1__model_dot_onnx": ""},
            'write backend: "onnxruntime" instead',
        ),
        ({"config_dot_pbtxt": CONFIG + '\ndefault_model_filename: "../m.py"', "1__m_dot_py": ""}, "leads out of"),
        (
            {"config_dot_pbtxt": CONFIG + "\nmax_batchsize: 4", "1__model_dot_py": ""},
            r'broken at line 4, column 1.*no field named "max_batchsize" \(did you mean max_batch_size\?\)',
        ),
        (
            {"config_dot_pbtxt": CONFIG + "\ninstance_group { cuont: 4 }", "1__model_dot_py": ""},
            r'line 4, column 18.*"cuont" \(did you mean count\?\)',
        ),
        ({"config_dot_pbtxt": 'platform: "ensemble"', "1__x": ""}, "names no steps"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(tmp_path: Path, contents: dict[str, str], message: str) -> None:
    report = inspect(files(tmp_path / "m", **contents))
    assert report.kind == "triton_model"
    assert any(re.search(message, problem) for problem in report.problems), report.problems


def test_a_right_model_has_no_problems(tmp_path: Path) -> None:
    report = inspect(files(tmp_path / "m", config_dot_pbtxt=CONFIG, **{"1__model_dot_py": ""}), "m")
    assert (report.problems, report.notes) == ((), ())
    assert report.summary == "A Triton model (python) with version 1."
    assert [(one.name, one.datatype, one.shape) for one in report.inputs] == [("x", "FP32", (-1,))]


def test_a_name_other_than_the_folders_is_noted(tmp_path: Path) -> None:
    folder = files(tmp_path / "m", config_dot_pbtxt=f'name: "other"\n{CONFIG}', **{"1__model_dot_py": ""})
    assert "is of other and the folder is named m" in inspect(folder, "m").notes[0]
    assert inspect(folder).notes == ()  # a copy does not know what its folder was called


def test_the_steps_of_an_ensemble_are_looked_for_beside_it(tmp_path: Path) -> None:
    root = files(
        tmp_path / "r",
        flow__config_dot_pbtxt=FLOW,
        first__config_dot_pbtxt=CONFIG,
        first__1__model_dot_py="",
        flow__1__keep="",
    )
    problems = inspect(root).problems
    assert problems == (
        "flow: Step 2 of the ensemble names the model 'second', which is not beside it (there is first, flow).",
    )
    files(root, second__config_dot_pbtxt=CONFIG, second__1__model_dot_py="")
    assert inspect(root).problems == ("flow: Step 2 of the ensemble maps the output 'z', which second does not have.",)
    (root / "second" / "config.pbtxt").write_text(CONFIG.replace('"y"', '"z"'))
    report = inspect(root)
    assert report.problems == () and [model.name for model in report.models] == ["first", "flow", "second"]
    assert report.notes == ("Callers of a service on this folder call flow.",)
    (root / "flow" / "config.pbtxt").unlink()
    assert "and no ensemble: name the model that callers call in the option model" in inspect(root).notes[0]


def test_a_repository_is_as_good_as_its_models(tmp_path: Path) -> None:
    root = files(tmp_path / "r", a__config_dot_pbtxt="nonsense", a__1__model_dot_py="")
    report = inspect(root)
    assert report.kind == "triton_repository" and report.problems[0].startswith("a: config.pbtxt is broken at line 1")
    assert (layout.find(root / "a").kind, layout.find(root).kind) == (layout.MODEL, layout.REPOSITORY)
