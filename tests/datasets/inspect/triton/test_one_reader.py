"""The listing of a dataset, the report and the check before a start say the same of a Triton model."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.inspect.folder import inspect
from datasets.inspect.recognise import recognise
from datasets.inspect.triton.names import Names
from datasets.sources.base import Site
from datasets.sources.local.source import LocalSource
from services.frameworks.triton.describe import describe
from tests.repositories import write

NO_TENSORS = "Nothing says what"
NO_BACKEND = (
    "which tells no backend: name the file as Triton expects it (as model.onnx), or set the backend, as "
    'backend: "…" in config.pbtxt.'
)


def say(tree: Path) -> list[tuple[str, ...]]:
    listed = recognise(LocalSource({"path": str(tree.parent)}, Site(roots=(tree.parent,))), tree.name)
    described = tuple(problem for problem in describe(tree, {}).problems if NO_TENSORS not in problem)
    return [listed.problems, inspect(tree).problems, described]


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (
            {"config.pbtxt": 'backend: "python"'},
            "There is no version folder: put the model file into a folder named 1.",
        ),
        (
            {"config.pbtxt": 'backend: "python"', "model.py": "x"},
            "There is no version folder: make a folder named 1 and move model.py into it.",
        ),
        (
            {"config.pbtxt": 'backend: "python"', "v1/model.py": "x"},
            "The folder v1 is no version to Triton: name it with a number that begins with 1 to 9, as 1.",
        ),
        ({"config.pbtxt": 'backend: "dali"', "1": ""}, "The version folder 1/ is empty: put the model file into it."),
        ({"1": ""}, "The version folder 1/ is empty: put the model file into it."),
        (
            {"1/model.json": "{}"},
            f"There is no config.pbtxt, and the version folder 1 holds model.json, {NO_BACKEND}",
        ),
        (
            {"config.pbtxt": "max_batch_size: 1", "1/net.bin": "x"},
            f"config.pbtxt names no backend, and the version folder 1 holds net.bin, {NO_BACKEND}",
        ),
        ({"config.pbtxt": "input {", "1/net.bin": "x"}, 'config.pbtxt is broken at line 1, column 7: Expected "}".'),
    ],
)
def test_all_readers_say_the_same(tmp_path: Path, contents: dict[str, str], problem: str) -> None:
    tree = tmp_path / "m"
    write(tree, {name: text for name, text in contents.items() if name != "1"})
    if "1" in contents:
        (tree / "1").mkdir(parents=True)
    assert say(tree) == [(problem,)] * 3


@pytest.mark.parametrize(
    ("names", "backend"),
    [
        (["model.graphdef", "model.plan"], "tensorflow"),
        (["model.savedmodel"], "tensorflow"),
        (["model.onnx", "model.plan", "model.py"], "tensorrt"),
        (["model.onnx", "model.py", "model.xml"], "onnxruntime"),
        (["model.pt", "model.py", "model.xml"], "openvino"),
        (["model.pt", "model.py"], "pytorch"),
        (["model.json", "model.py"], "python"),
        (["model.json"], ""),
        (["xgboost.json"], ""),
    ],
)
def test_the_backend_is_guessed_in_the_order_of_triton(names: list[str], backend: str) -> None:
    assert Names(dict.fromkeys(names, False)).backend == backend


def test_the_backend_is_that_of_a_version_that_is_loaded(tmp_path: Path) -> None:
    write(tmp_path / "m", {"1/model.onnx": "x", "2/model.py": "x"})
    assert describe(tmp_path / "m", {}).backend == "python" and "(python)" in inspect(tmp_path / "m").summary
    (tmp_path / "m" / "config.pbtxt").write_text("version_policy { specific { versions: 1 } }")
    assert describe(tmp_path / "m", {}).backend == "onnxruntime" and "(onnxruntime)" in inspect(tmp_path / "m").summary


def test_every_version_is_looked_into_however_many_there_are(tmp_path: Path) -> None:
    names = {f"{version}/model.py": "x" for version in range(2, 103)}
    write(tmp_path / "m", {"config.pbtxt": 'backend: "python" version_policy { all { } }', "1/net.py": "x", **names})
    problem = (
        '1/model.py is missing: the python backend loads it. Rename net.py, or write default_model_filename: "net.py".'
    )
    assert say(tmp_path / "m")[1:] == [(problem,)] * 2


def test_a_model_file_may_lie_in_a_folder_of_its_version(tmp_path: Path) -> None:
    config = 'backend: "python" default_model_filename: "code/run.py"'
    write(tmp_path / "m", {"config.pbtxt": config, "1/code/run.py": "x"})
    assert say(tmp_path / "m") == [()] * 3
    (tmp_path / "m" / "1" / "code" / "run.py").rename(tmp_path / "m" / "1" / "code" / "other.py")
    problem = "1/code/run.py is missing: the python backend loads it. The folder holds code."
    assert say(tmp_path / "m")[1:] == [(problem,)] * 2


def test_a_graph_named_as_triton_expects_is_chosen_among_several(tmp_path: Path) -> None:
    write(tmp_path / "m", {"model.onnx": "x", "other.onnx": "x"})
    assert say(tmp_path / "m")[0] == ()
