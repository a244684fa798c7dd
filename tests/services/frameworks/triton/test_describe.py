"""What a folder of model files is to Triton, and what stands in the way of serving it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from datasets.inspect.folder import inspect
from services.frameworks.triton.describe import describe
from services.frameworks.triton.study import study
from services.specs import ModelDescription, Tensor
from tests.datasets.inspect.formats.test_onnx import external
from tests.services.frameworks.triton.onnx_files import model, tensor, write_digits

PYTHON = """
backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [ -1, 64 ] }]
output [{ name: "y" data_type: TYPE_INT64 dims: [ -1 ] }]
"""
DIGITS = ((Tensor("pixels", "FP32", (-1, 64)),), (Tensor("label", "INT64", (-1,)),))


def python_model(tree: Path, config: str = PYTHON) -> Path:
    (tree / "1").mkdir(parents=True)
    (tree / "config.pbtxt").write_text(config)
    (tree / "1" / "model.py").write_text("class TritonPythonModel: ...")
    return tree


def problem(description: ModelDescription) -> str:
    assert len(description.problems) == 1, description.problems
    return description.problems[0]


def test_a_model_folder_is_described_by_its_config(tmp_path: Path) -> None:
    config = PYTHON + "max_batch_size: 4 model_transaction_policy { decoupled: true }"
    description = describe(python_model(tmp_path, config), {})
    assert [one.path for one in description.executable] == ["1/model.py"]
    assert replace(description, executable=()) == ModelDescription(
        inputs=(Tensor("x", "FP32", (-1, 64)),),
        outputs=(Tensor("y", "INT64", (-1,)),),
        backend="python",
        max_batch_size=4,
        decoupled=True,
        config_text=config,
    )


def test_options_are_laid_over_what_the_files_say(tmp_path: Path) -> None:
    description = describe(python_model(tmp_path), {"inputs": [{"name": "z", "datatype": "BYTES", "shape": [1]}]})
    assert description.inputs == (Tensor("z", "BYTES", (1,)),)


def test_version_folders_without_a_config_are_a_model(tmp_path: Path) -> None:
    write_digits(tmp_path / "3" / "model.onnx")
    description = describe(tmp_path, {})
    assert (description.inputs, description.outputs) == DIGITS
    assert (description.backend, description.problems) == ("onnxruntime", ())
    assert description.notes == ("Inputs and outputs were read from 3/model.onnx.",)


def test_a_config_without_tensors_is_completed_from_the_onnx_graph(tmp_path: Path) -> None:
    write_digits(tmp_path / "1" / "model.onnx")
    (tmp_path / "config.pbtxt").write_text('platform: "onnxruntime_onnx" max_batch_size: 8')
    description = describe(tmp_path, {})
    assert description.inputs == (Tensor("pixels", "FP32", (64,)),)
    assert (description.backend, description.max_batch_size) == ("onnxruntime", 8)


@pytest.mark.parametrize("name", ["model.onnx", "digits-v2.onnx"])
def test_a_bare_onnx_file_gets_a_repository(tmp_path: Path, name: str) -> None:
    write_digits(tmp_path / name)
    (tmp_path / "weights.bin").write_text("external data lies beside the model")
    inspection = study(tmp_path, {}, "digits")
    assert not inspection.problems
    assert inspection.links == (("1/model.onnx", name), ("1/weights.bin", "weights.bin"))
    assert inspection.config.name == "digits"
    assert (describe(tmp_path, {}).inputs, describe(tmp_path, {}).outputs) == DIGITS


def test_a_bare_python_model_takes_its_tensors_from_the_form(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("class TritonPythonModel: ...")
    assert problem(describe(tmp_path, {})) == (
        "Nothing says what inputs and outputs the Python model has: fill in its inputs and outputs."
    )
    tensors = [{"name": "x", "datatype": "FP32", "shape": [-1]}]
    description = describe(tmp_path, {"inputs": tensors, "outputs": tensors})
    assert (description.backend, description.problems) == ("python", ())


def test_a_python_model_may_have_outputs_alone(tmp_path: Path) -> None:
    config = PYTHON.partition("output")[2]
    description = describe(python_model(tmp_path, f'backend: "python" output{config}'), {})
    assert description.problems == () and "so requests bring none" in description.notes[0]
    assert problem(describe(tmp_path, {"max_batch_size": 4})) == (
        "Nothing says what inputs the Python model has, and batches need some: fill in its inputs."
    )


def test_a_python_model_that_completes_its_own_config_needs_no_tensors(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("class TritonPythonModel:\n  def auto_complete_config(c): return c")
    description = describe(tmp_path, {})
    assert not description.problems
    assert "says its inputs and outputs itself" in description.notes[0]


def test_a_folder_without_a_model_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert "expected config.pbtxt with a version folder" in problem(describe(tmp_path, {}))


def test_two_onnx_files_and_none_called_model_are_not_guessed(tmp_path: Path) -> None:
    write_digits(tmp_path / "a.onnx")
    write_digits(tmp_path / "b.onnx")
    assert "no model that Triton can serve" in problem(describe(tmp_path, {}))


@pytest.mark.parametrize(
    ("config", "file", "expected"),
    [
        ('platform: "onnxruntime_onnx"', "1/other.onnx", "1/model.onnx is missing: the onnxruntime backend loads it."),
        ('backend: "python" default_model_filename: "run.py"', "1/model.py", "1/run.py is missing: the python backend"),
        (
            'backend: "python" version_policy { specific { versions: [ 2 ] } }',
            "1/model.py",
            "asks for version 2, and there is version 1",
        ),
        (
            'backend: "python" default_model_filename: "../../secret.py"',
            "1/model.py",
            "leads out of the version folder",
        ),
        ('backend: "python" default_model_filename: "/dev/zero"', "1/model.py", "leads out of the version folder"),
        (
            'backend: "python" default_model_filename: "a b.py"',
            "1/a b.py",
            "'a b.py' has a blank in it, or a character",
        ),
        ('backend: "python" default_model_filename: "a&b.py"', "1/a&b.py", "Triton starts a model: rename the file."),
        ('backend: "python"', "labels.txt", "There is no version folder: put the model file into a folder named 1."),
        ('backend: "onnxruntime"', "v1/model.onnx", "The folder v1 is no version to Triton"),
        ('backend: "dali"', "1/.keep", "The version folder 1/ is empty"),
        ("max_batch_size: 1", "1/weights.bin", "names no backend"),
        ('platform: "ensemble"', "1/.keep", "choose the folder above"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, config: str, file: str, expected: str) -> None:
    (tmp_path / "config.pbtxt").write_text(config)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    if not file.endswith(".keep"):
        (tmp_path / file).write_text("")
    assert expected in problem(describe(tmp_path, {}))


@pytest.mark.parametrize(("kind", "refused"), [("STRING", True), ("UINT64", False)])
def test_a_sequence_id_as_text_is_not_for_the_bundled_runtime(tmp_path: Path, kind: str, refused: bool) -> None:
    control = f'{{ name: "ID" control [{{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_{kind} }}] }}'
    value = "data_type: TYPE_FP32 dims: [1]"
    tensors = f'input [{{ name: "x" {value} }}] output [{{ name: "y" {value} }}]'
    (tmp_path / "config.pbtxt").write_text(
        f'backend: "python" {tensors} sequence_batching {{ control_input [{control}] }}'
    )
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.py").write_text("")
    problems = describe(tmp_path, {}).problems
    assert [("as TYPE_STRING, which the Python backend" in text) for text in problems] == ([True] if refused else [])


def test_a_broken_config_is_named_with_line_and_column_and_still_shown(tmp_path: Path) -> None:
    description = describe(python_model(tmp_path, 'backend: "python"\ninputs [ ]\n'), {})
    assert "config.pbtxt is broken at line 2, column 1:" in problem(description)
    assert description.config_text == 'backend: "python"\ninputs [ ]\n'


def test_a_config_that_is_no_text_or_far_too_large_is_refused(tmp_path: Path) -> None:
    python_model(tmp_path)
    (tmp_path / "config.pbtxt").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in problem(describe(tmp_path, {}))
    (tmp_path / "config.pbtxt").write_bytes(b"#" * (1 << 20) + b"##")
    assert "larger than 1 MiB" in problem(describe(tmp_path, {}))


def test_a_broken_onnx_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"<html>404</html>")
    assert "1/model.onnx cannot be read as ONNX: it is not an ONNX file" in problem(describe(tmp_path, {}))


def test_dynamic_batching_is_checked_against_the_batch_size_of_the_file(tmp_path: Path) -> None:
    python_model(tmp_path)
    assert "max batch size of at least 1" in problem(describe(tmp_path, {"dynamic_batching": {"enabled": True}}))
    text = f"dynamic_batching {{ }}\n{(tmp_path / 'config.pbtxt').read_text()}"
    (tmp_path / "config.pbtxt").write_text(text)
    described = describe(tmp_path, {})  # Triton takes it
    assert not described.problems and "forms no batches" in described.notes[0]
    sizes = {"dynamic_batching": {"enabled": True, "preferred_batch_size": [16]}, "max_batch_size": 8}
    assert "above the max batch size of 8" in problem(describe(tmp_path, sizes))


def test_a_gpu_that_a_service_without_one_does_not_get_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.pt").write_text("")
    (tmp_path / "config.pbtxt").write_text('backend: "pytorch" instance_group [{ kind: KIND_GPU }]')
    description = describe(tmp_path, {})
    assert not description.problems
    assert "asks for a GPU" in description.notes[0]


def test_a_tree_that_is_gone_is_a_problem_and_not_an_exception(tmp_path: Path) -> None:
    assert problem(describe(tmp_path / "gone", {})) == "The model files cannot be read: No such file or directory."


ONNX = 'backend: "onnxruntime" input { name: "pixels" data_type: TYPE_FP32 dims: [-1, 64] }'


def onnx_model(tree: Path, config: str = ONNX) -> Path:
    write_digits(tree / "1" / "model.onnx")
    (tree / "config.pbtxt").write_text(config)
    return tree


def test_a_config_that_contradicts_the_graph_stops_a_start(tmp_path: Path) -> None:
    description = describe(onnx_model(tmp_path, ONNX.replace("64", "32")), {})
    assert problem(description) == "Input pixels: The model has [-1, 64]: write dims: [-1, 64]."
    assert (
        'name: "pixels"' in description.suggested
        and [row.verdict for row in description.comparison].count("wrong") == 1
    )


def test_what_the_form_says_is_held_against_the_graph_as_well(tmp_path: Path) -> None:
    tree = onnx_model(tmp_path)
    wrong = {"inputs": [{"name": "pixels", "datatype": "FP16", "shape": [-1, 64]}]}
    assert "write data_type: TYPE_FP32" in problem(describe(tree, wrong))
    right = {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]}
    broken = onnx_model(tmp_path / "other", ONNX.replace("64", "32"))
    assert not describe(broken, right).problems


def test_every_version_that_is_loaded_is_held_against_the_config(tmp_path: Path) -> None:
    tree = onnx_model(tmp_path)
    (tree / "0").mkdir()
    (tree / "0" / "model.onnx").write_bytes(model([tensor("x", 1, [3])], [tensor("label", 7, ["n"])]))
    assert describe(tree, {}).problems == ()
    (tree / "config.pbtxt").write_text(ONNX + " version_policy { all { } }")
    for problems in (describe(tree, {}).problems, inspect(tree).problems):
        assert "0/model.onnx: Input x: config.pbtxt leaves it out" in " ".join(problems)


def test_a_library_of_operators_must_be_there(tmp_path: Path) -> None:
    tree = onnx_model(tmp_path, ONNX + ' model_operations { op_library_filename: "libops.so" }')
    assert problem(describe(tree, {})) == (
        "1/libops.so is missing, which config.pbtxt names as op_library_filename: add it."
    )
    assert inspect(tree).problems == describe(tree, {}).problems
    (tree / "1" / "libops.so").write_bytes(b"\x7fELF")
    assert "config.pbtxt" in [one.path for one in describe(tree, {}).executable]


def test_a_graph_without_its_weights_stops_a_start(tmp_path: Path) -> None:
    tree = onnx_model(tmp_path)
    (tree / "1" / "model.onnx").write_bytes(external("model.onnx.data"))
    assert any("model.onnx.data, which is missing" in text for text in describe(tree, {}).problems)


def test_code_is_told_by_the_backend_that_serves_and_not_by_the_file(tmp_path: Path) -> None:
    tree = onnx_model(tmp_path)
    assert describe(tree, {}).executable == ()
    assert [one.kind for one in describe(tree, {"backend": "python"}).executable] == ["python"]
    assert [one.path for one in describe(python_model(tmp_path / "p"), {}).executable] == ["1/model.py"]


def test_a_version_policy_without_a_version_is_named(tmp_path: Path) -> None:
    description = describe(python_model(tmp_path, PYTHON + "version_policy { specific { } }"), {})
    assert problem(description) == "version_policy in config.pbtxt names no version: name one, or leave it out."


def test_a_version_folder_that_triton_ignores_is_none(tmp_path: Path) -> None:
    tree = python_model(tmp_path)
    (tree / "1").rename(tree / "01")
    assert "The folder 01 is no version to Triton" in problem(describe(tree, {}))


def test_a_backend_that_is_a_path_is_refused(tmp_path: Path) -> None:
    description = describe(python_model(tmp_path, PYTHON.replace('"python"', '"../../x"')), {})
    assert (
        problem(description) == "config.pbtxt names the backend '../../x', which cannot be: a backend's name is a word."
    )


def test_an_iterative_sequence_is_a_single_request(tmp_path: Path) -> None:
    described = describe(python_model(tmp_path, PYTHON + "sequence_batching { iterative_sequence: true }"), {})
    assert not described.problems and not described.sequences and not described.notes
    (tmp_path / "config.pbtxt").write_text(PYTHON + "sequence_batching { }")
    assert describe(tmp_path, {}).sequences


def test_the_environment_of_a_python_model_must_be_there(tmp_path: Path) -> None:
    text = PYTHON + 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/env" } }'
    tree = python_model(tmp_path, text)
    missing = "env is missing, which the parameter EXECUTION_ENV_PATH names: add it."
    assert problem(describe(tree, {})) == missing and inspect(tree).problems == (missing,)
    (tree / "env").mkdir()
    assert not describe(tree, {}).problems


def test_a_python_model_is_not_handed_the_id_of_a_sequence_as_text(tmp_path: Path) -> None:
    control = "control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING }"
    tree = python_model(tmp_path, PYTHON + f'sequence_batching {{ control_input {{ name: "ID" {control} }} }}')
    assert "as TYPE_STRING" in problem(describe(tree, {})) and "as TYPE_STRING" in inspect(tree).problems[0]
