"""A folder of several models as one service: what is loaded, under which names, and what stands in the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from datasets.inspect.triton.repository import MOST_MODELS
from services.errors import ModelError
from services.frameworks.triton.describe import describe
from services.frameworks.triton.launch import render
from services.frameworks.triton.repository import study
from services.specs import Launch, ModelDescription, ServedModel, Tensor
from tests.repositories import FLOATS, chain, config, ensemble, onnx_model, python_model, step, unary, write
from tests.servers.triton import context_for

GOLDEN = Path(__file__).parent / "testdata" / "launch_repository.json"
ONNX_STEP = config("onnxruntime", inputs={"x": FLOATS}, outputs={"y": FLOATS})
SEQUENCES = 'sequence_batching { control_input { name: "START" control { kind: CONTROL_SEQUENCE_START } } }'


def mixed(root: Path, **more: str | bytes) -> Path:
    """ONNX -> Python -> ONNX, of which the last one has no config.pbtxt."""
    return write(
        root,
        {
            **onnx_model("neg", ONNX_STEP),
            **python_model("add"),
            **onnx_model("abs", operator="Abs"),
            "flow/config.pbtxt": chain("neg", "add", "abs"),
            "flow/1/": "",
            "vocabulary.txt": "a b c",
            **more,
        },
    )


def launch(tree: Path, service: str = "svc", **options: Any) -> Launch:
    home = tree.parent / "home"
    for backend in ("onnxruntime", "python"):
        (home / "runtime" / "backends" / backend).mkdir(parents=True, exist_ok=True)
    (home / "runtime" / "lib" / "python3.11" / "site-packages").mkdir(parents=True, exist_ok=True)
    return render(context_for(service, tree, home / "run", home / "runtime", config=options))


def written(replica_launch: Launch, name: str) -> Any:
    return text_format.Parse(replica_launch.files[f"repository/{name}/config.pbtxt"], model_config_pb2.ModelConfig())


def problem(description: ModelDescription) -> str:
    assert len(description.problems) == 1, description.problems
    return description.problems[0]


def test_the_ensemble_of_a_folder_is_what_the_service_speaks_of(tmp_path: Path) -> None:
    description = describe(mixed(tmp_path / "tree"), {})
    assert description.problems == ()
    assert description.inputs == (Tensor("IN", "FP32", (-1,)),)
    assert description.outputs == (Tensor("OUT", "FP32", (-1,)),)
    assert description.backend == "ensemble"
    assert description.models == (
        ServedModel("flow", "ensemble", "main"),
        ServedModel("neg", "onnxruntime", "step"),
        ServedModel("add", "python", "step"),
        ServedModel("abs", "onnxruntime", "step"),
    )
    assert [code.path for code in description.executable] == ["add/1/model.py"]
    assert "abs: Inputs and outputs were read from 1/model.onnx." in description.notes


def test_the_launch_of_a_repository_is_what_the_golden_file_says(tmp_path: Path) -> None:
    """To rewrite the golden file: delete it, run this test, look at the diff."""
    replica_launch = launch(mixed(tmp_path / "tree"))
    plain = {
        "links": {name: str(path) for name, path in sorted(replica_launch.links.items())},
        "files": {
            name: data.decode().splitlines() for name, data in replica_launch.files.items() if name != "start.sh"
        },
    }
    text = json.dumps(plain, indent=2).replace(str(tmp_path), "/tmp/home") + "\n"
    if not GOLDEN.exists():
        GOLDEN.write_text(text)
        pytest.fail("the golden file was missing and has been written")
    assert text == GOLDEN.read_text()


def test_the_main_model_has_the_name_of_the_service_and_the_others_their_own(tmp_path: Path) -> None:
    replica_launch = launch(mixed(tmp_path / "tree"))
    names = {name: written(replica_launch, name).name for name in ("svc", "neg", "add", "abs")}
    assert names == {name: name for name in names}
    assert [one.model_name for one in written(replica_launch, "svc").ensemble_scheduling.step] == ["neg", "add", "abs"]
    assert not written(replica_launch, "svc").instance_group
    assert written(replica_launch, "neg").instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
    assert [tensor.name for tensor in written(replica_launch, "abs").input] == ["x"]


@pytest.mark.parametrize("folder", ["flow/1/", "flow/3/"])
def test_an_ensemble_keeps_its_empty_version_folder(tmp_path: Path, folder: str) -> None:
    tree = write(tmp_path / "tree", {**python_model("add"), "flow/config.pbtxt": chain("add"), folder: ""})
    assert f"repository/svc/{folder[5:-1]}/.keep" in launch(tree).files


def test_an_ensemble_whose_empty_folder_a_bucket_could_not_hold_gets_one(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {**python_model("add"), "flow/config.pbtxt": chain("add")})
    assert describe(tree, {}).problems == ()
    assert "repository/svc/1/.keep" in launch(tree).files


def test_another_model_may_be_named_and_ensembles_find_it_under_the_name_of_the_service(tmp_path: Path) -> None:
    tree = mixed(tmp_path / "tree")
    description = describe(tree, {"model": "add"})
    assert description.inputs == (Tensor("x", "FP32", (-1,)),)
    assert description.models[0] == ServedModel("add", "python", "main")
    steps = [one.model_name for one in written(launch(tree, model="add"), "flow").ensemble_scheduling.step]
    assert steps == ["neg", "svc", "abs"]
    assert describe(tree, {"model": "neg"}).models == (ServedModel("neg", "onnxruntime", "main"),)
    assert "Not loaded, because nothing here calls it: abs, add, flow." in describe(tree, {"model": "neg"}).notes


def test_the_backend_that_the_service_names_decides_what_is_loaded(tmp_path: Path) -> None:
    files = {**python_model("main"), **python_model("add")}
    files["main/config.pbtxt"] = str(files["main/config.pbtxt"]).replace('"python"', '"onnxruntime"')
    tree = write(tmp_path / "tree", files)
    assert [one.name for one in describe(tree, {"model": "main", "backend": "python"}).models] == ["main", "add"]


def test_numbered_folders_of_data_are_no_model(tmp_path: Path) -> None:
    description = describe(write(mixed(tmp_path / "tree"), {"scans/1/a.png": "", "scans/2/b.png": ""}), {})
    assert description.problems == () and "scans" not in [model.name for model in description.models]
    assert "Not loaded, because nothing here calls it: scans." in description.notes
    tree = write(tmp_path / "one", {**onnx_model("neg"), "scans/1/a.png": ""})
    assert describe(tree, {}).models == (ServedModel("neg", "onnxruntime", "main"),)
    assert "No folder here is a model" in problem(describe(write(tmp_path / "none", {"scans/1/a.png": ""}), {}))


def test_a_repository_of_one_model_is_that_model(tmp_path: Path) -> None:
    replica_launch = launch(write(tmp_path / "tree", {**onnx_model("my model"), "LICENSE": "MIT"}))
    assert "repository/svc/1/model.onnx" in replica_launch.links
    assert replica_launch.links["repository/LICENSE"].name == "LICENSE"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "with the models a, b, and no ensemble: name the model that callers call in the option model"),
        ({"model": "c"}, "There is no model c here. Models: a, b."),
    ],
)
def test_without_a_main_model_the_choice_is_asked_for(tmp_path: Path, options: Any, expected: str) -> None:
    tree = write(tmp_path / "tree", {**python_model("a"), **python_model("b")})
    assert expected in problem(describe(tree, options))
    assert describe(tree, {"model": "b"}).problems == ()


def test_the_option_is_refused_for_the_folder_of_one_model(tmp_path: Path) -> None:
    assert "leave the option model empty" in problem(describe(write(tmp_path, {"1/model.py": ""}), {"model": "a"}))


def test_a_folder_of_very_many_models_is_none_to_serve(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {f"m{index}/config.pbtxt": "" for index in range(MOST_MODELS + 1)})
    assert "choose the folder of one of them" in problem(describe(tree, {}))


def test_a_lone_ensemble_asks_for_the_folder_above(tmp_path: Path) -> None:
    tree = mixed(tmp_path / "tree")
    assert "choose the folder above as the model path" in problem(describe(tree / "flow", {}))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"add/config.pbtxt": "nonsense"}, "add: config.pbtxt is broken at line 1"),
        ({"neg/1/model.onnx": b"nonsense"}, "neg: 1/model.onnx cannot be read as ONNX"),
        ({"neg/config.pbtxt": config("onnxruntime", inputs={"z": FLOATS})}, "neg: Input z"),
        ({"flow/config.pbtxt": chain("neg", "add", "gone")}, "flow: Step 3 of the ensemble names the model 'gone'"),
        ({"add/config.pbtxt": config(inputs={"x": ("INT32", "-1")})}, "flow: The tensor 't1' is TYPE_FP32 in neg"),
        ({"abs/1/model.onnx": onnx_model("abs", operator="Abs")["abs/1/model.onnx"].replace(b"n", b"m")}, ""),
        (
            {"add/config.pbtxt": config(more='model_repository_agents { agents { name: "a" } }')},
            "add: config.pbtxt sets",
        ),
        ({"add/config.pbtxt": config(more='default_model_filename: "../x.py"')}, "add: default_model_filename"),
    ],
)
def test_what_is_wrong_with_a_step_is_said_by_its_name(tmp_path: Path, files: Any, expected: str) -> None:
    problems = describe(mixed(tmp_path / "tree", **files), {}).problems
    assert any(one.startswith(expected) for one in problems) if expected else not problems, problems


def test_tensors_of_a_step_without_a_config_are_compared_as_its_file_has_them(tmp_path: Path) -> None:
    tree = mixed(tmp_path / "tree", **{"abs/1/model.onnx": unary("Abs", element=11)})
    assert "flow: The tensor 't2' is TYPE_FP32 in add and TYPE_FP64 in abs: they must agree." in (
        describe(tree, {}).problems
    )


def test_a_model_beside_may_not_have_the_name_of_the_service(tmp_path: Path) -> None:
    tree = mixed(tmp_path / "tree")
    assert "give the service another name" in problem(describe(tree, {}, "add"))
    assert describe(tree, {}, "flow").problems == ()
    with pytest.raises(ModelError, match="The model add is loaded under its own name"):
        launch(tree, "add")


@pytest.mark.parametrize("name", ["a b", "a;touch x", "$(id)", "a&b"])
def test_no_name_of_a_folder_reaches_the_shell_that_starts_models(tmp_path: Path, name: str) -> None:
    tree = write(tmp_path / "tree", {**onnx_model(name, ONNX_STEP), "flow/config.pbtxt": chain(name)})
    assert "Rename it." in problem(describe(tree, {}))
    with pytest.raises(ModelError, match="Rename it"):
        launch(tree)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"instances": 2}, "instances"),
        ({"backend": "python"}, "backend"),
        ({"dynamic_batching": {"enabled": True}}, "dynamic_batching"),
    ],
)
def test_options_that_no_ensemble_has_are_refused(tmp_path: Path, options: Any, word: str) -> None:
    assert f"An ensemble has no {word} of its own" in problem(describe(mixed(tmp_path / "tree"), options))


def test_a_step_whose_backend_the_runtime_lacks_is_named(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"old/config.pbtxt": config("pytorch"), "old/1/model.pt": ""}
    files["flow/config.pbtxt"] = chain("old")
    with pytest.raises(ModelError, match="old: The model needs the Triton backend pytorch"):
        launch(write(tmp_path / "tree", files))


def test_options_are_laid_over_the_main_model_only(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {**python_model("a"), **python_model("b")})
    replica_launch = launch(tree, model="a", instances=3, max_batch_size=4, parameters={"MODEL_A": "1"})
    assert (written(replica_launch, "svc").max_batch_size, written(replica_launch, "svc").instance_group[0].count) == (
        4,
        3,
    )
    assert (written(replica_launch, "b").max_batch_size, written(replica_launch, "b").instance_group[0].count) == (0, 1)
    assert not written(replica_launch, "b").parameters


def test_larger_batches_than_those_of_a_step_are_refused(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {**python_model("a", config(batch=2)), "flow/config.pbtxt": chain("a", batch=2)})
    assert describe(tree, {}).problems == ()
    assert "lower max_batch_size of the ensemble" in problem(describe(tree, {"max_batch_size": 4}))


def test_a_decoupled_or_stateful_step_makes_the_service_so(tmp_path: Path) -> None:
    streaming = config(more="model_transaction_policy { decoupled: true }")
    tree = write(tmp_path / "a", {**python_model("a", streaming), "flow/config.pbtxt": chain("a")})
    assert (describe(tree, {}).decoupled, describe(tree, {}).sequences) == (True, False)
    tree = write(
        tmp_path / "b", {**python_model("a", config(batch=1, more=SEQUENCES)), "flow/config.pbtxt": chain("a", batch=1)}
    )
    assert (describe(tree, {}).decoupled, describe(tree, {}).sequences) == (False, True)
    claimed = chain("a", more="model_transaction_policy { decoupled: true }")
    tree = write(tmp_path / "c", {**python_model("a"), "flow/config.pbtxt": claimed})
    assert not describe(tree, {}).decoupled, "Triton looks at the steps, not at what the ensemble says"


def test_ensembles_that_call_each_other_are_refused(tmp_path: Path) -> None:
    circle = {
        f"{name}/config.pbtxt": ensemble(step(other, {"IN": "IN"}, {"OUT": "OUT"}))
        for name, other in (("one", "two"), ("two", "one"))
    }
    problems = describe(write(tmp_path, {**circle}), {"model": "one"}).problems
    assert problems[0] == "one: The ensemble one calls itself through its step two: Triton allows no circle."


def test_code_is_that_of_all_loaded_models_and_of_what_they_can_load(tmp_path: Path) -> None:
    tree = mixed(
        tmp_path / "tree",
        **{
            "shared/text.py": "",
            "neg/1/helper.py": "",
            "abs/words.pkl": b"\x80\x04cos\nsystem\n.",
        },
    )
    code = {one.path: one for one in describe(tree, {}).executable if one.runs}
    assert set(code) == {"add/1/model.py", "neg/1/helper.py", "abs/words.pkl"}
    assert code["neg/1/helper.py"].others == ("shared/text.py",)
    assert not [one for one in describe(tree, {"model": "neg"}).executable if one.runs]


def test_a_repository_of_onnx_models_needs_no_trust_until_a_library_lies_there(tmp_path: Path) -> None:
    files = {**onnx_model("neg"), **onnx_model("abs"), "flow/config.pbtxt": chain("neg", "abs")}
    tree = write(tmp_path / "tree", {**files, **python_model("unused")})
    assert not [one for one in describe(tree, {}).executable if one.runs]
    write(tree, {"unused/lib.so": b"\x7fELF", "neg/custom.so": b"\x7fELF"})
    assert {one.path for one in describe(tree, {}).executable if one.runs} == {"unused/lib.so", "neg/custom.so"}


def test_models_of_a_single_model_are_not_listed(tmp_path: Path) -> None:
    assert describe(write(tmp_path, onnx_model("neg")) / "neg", {}).models == ()
    assert study(tmp_path / "neg", {}).main.folder == ""
