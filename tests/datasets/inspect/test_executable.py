"""Content that runs as code, and which of it the folder's own server would load."""

from __future__ import annotations

import collections
import os
import pickle
import zipfile
from pathlib import Path

import pytest

from datasets.inspect.budget import Budget
from datasets.inspect.folder import inspect
from datasets.inspect.huggingface import model as huggingface
from datasets.inspect.huggingface.summary import code_of
from services.frameworks.triton.describe import describe
from tests.datasets.inspect.made import LLAMA_3_8B, SYSTEM, Evil, config, safetensors


def model(root: Path, backend: str, *names: str) -> Path:
    (root / "1").mkdir(parents=True)
    (root / "config.pbtxt").write_text(f'backend: "{backend}"')
    for name in names:
        (root / name).write_bytes(pickle.dumps(Evil()))
    return root


def executables(folder: Path) -> dict[str, tuple[str, bool]]:
    return {one.path: (one.kind, one.runs) for one in inspect(folder).executable}


def tensors(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(collections.OrderedDict(), 2))


def test_a_python_model_runs_and_so_does_every_pickle_beside_it(tmp_path: Path) -> None:
    seen = executables(model(tmp_path / "m", "python", "1/model.py", "1/m.pkl", "1/helper.py", "1/w.bin"))
    assert seen == {"1/model.py": ("python", True), "1/m.pkl": ("pickle", True), "1/w.bin": ("pickle", True)}
    assert SYSTEM in next(one for one in inspect(tmp_path / "m").executable if one.path == "1/m.pkl").said


def test_an_onnx_model_runs_nothing_that_lies_beside_it(tmp_path: Path) -> None:
    seen = executables(model(tmp_path / "m", "onnxruntime", "1/model.onnx", "1/preprocessing.pkl"))
    assert seen == {"1/preprocessing.pkl": ("pickle", False)}


TENSORS = {kind: [{"name": kind, "datatype": "FP32", "shape": [1]}] for kind in ("inputs", "outputs")}


def versions(folder: Path, text: str) -> Path:
    """The file w.dat is a TorchScript program in version 1 and tensors in version 2."""
    for version in ("1", "2"):
        (folder / version).mkdir(parents=True)
        tensors(folder / version / "w.dat")
    with zipfile.ZipFile(folder / "1" / "w.dat", "a") as archive:
        archive.writestr("m/code/x.py", "")
        archive.writestr("m/constants.pkl", pickle.dumps((), 2))
    (folder / "config.pbtxt").write_text(text)
    return folder


@pytest.mark.parametrize("backend", ["python", "onnxruntime", "pytorch", "mine", ""])
def test_what_triton_takes_for_a_backend_runs_whatever_the_backend_is_called(tmp_path: Path, backend: str) -> None:
    seen = executables(model(tmp_path / "m", backend, "1/model.py", "libtriton_x.so"))
    assert seen["1/model.py"] == ("python", True) and seen["libtriton_x.so"] == ("library", True)


def test_a_program_that_triton_starts_in_place_of_its_own_runs(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "onnxruntime", "1/model.onnx", "triton_python_backend_stub", "1/run")
    for name in ("triton_python_backend_stub", "1/run"):
        (folder / name).write_text("#!/bin/sh\n")
    assert executables(folder) == {"triton_python_backend_stub": ("script", True), "1/run": ("script", False)}


def test_a_python_backend_runs_a_file_of_any_name(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "python", "1/weights.onnx")
    (folder / "config.pbtxt").write_text('backend: "python" default_model_filename: "weights.onnx"')
    assert executables(folder) == {"1/weights.onnx": ("python", True)}


def test_of_a_hugging_face_folder_only_pickles_without_safetensors_count(tmp_path: Path) -> None:
    folder = config(tmp_path / "m", LLAMA_3_8B)
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(pickle.dumps(Evil()))
    assert executables(folder)["pytorch_model.bin"] == ("pickle", True)
    assert not executables(folder)["training_args.bin"][1] and not executables(folder)["optimizer.pt"][1]
    safetensors(folder / "model.safetensors", {"w": ("BF16", (4,))})
    assert not any(runs for _, runs in executables(folder).values())


def test_a_pickle_of_tensors_alone_is_no_code(tmp_path: Path) -> None:
    folder = config(tmp_path / "m", LLAMA_3_8B)
    tensors(folder / "pytorch_model.bin")
    report = inspect(folder)
    assert report.executable == ()
    assert report.notes == ("pytorch_model.bin is a pickle, and holds nothing but tensors.",)


def test_code_that_a_configuration_names_is_told(tmp_path: Path) -> None:
    folder = config(tmp_path / "m", {**LLAMA_3_8B, "auto_map": {"AutoModel": "modeling.Mine"}})
    assert executables(folder) == {"config.json": ("auto_map", True)}


def test_what_was_not_looked_into_is_said_to_be_so(tmp_path: Path) -> None:
    folder = config(tmp_path / "m", LLAMA_3_8B)
    (folder / "pytorch_model.bin").touch()
    os.truncate(folder / "pytorch_model.bin", 5 << 30)
    [one] = inspect(folder).executable
    assert (one.runs, one.seen) == (True, False) and "not looked into yet" in one.said


def test_a_keras_lambda_and_a_file_that_is_no_pickle_are_told(tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_bytes(b"\x89HDF" + b'{"class_name": "Lambda"}')
    (tmp_path / "plain.h5").write_bytes(b"\x89HDF" + b'{"class_name": "Dense"}')
    (tmp_path / "x.joblib").write_bytes(b"\xff\xff")
    (tmp_path / "weights.bin").write_bytes(bytes(range(1, 250)))
    kinds = {path: kind for path, (kind, _) in executables(tmp_path).items()}
    assert kinds == {"m.h5": "keras_lambda", "x.joblib": "pickle"}


def test_links_and_pipes_do_not_hold_the_look_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pkl")
    (tmp_path / "gone.pkl").symlink_to(tmp_path / "nowhere")
    assert {one.path for one in inspect(tmp_path).executable} == {"pipe.pkl", "gone.pkl"}


def test_what_only_lies_there_does_not_crowd_out_what_runs(tmp_path: Path) -> None:
    folder = config(tmp_path / "m", LLAMA_3_8B)
    for number in range(300):
        (folder / f"a{number:03}.pkl").write_bytes(b"\x80\x04N.")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    assert [one.path for one in inspect(folder).runs_code] == ["pytorch_model.bin"]


@pytest.mark.parametrize("text", ['runtime: "1/weights.bin"', 'model_operations { op_library_filename: "ops.bin" }'])
def test_a_library_that_the_configuration_names_runs_whatever_it_is_called(tmp_path: Path, text: str) -> None:
    folder = model(tmp_path / "m", "onnxruntime", "1/model.onnx")
    (folder / "config.pbtxt").write_text(f'backend: "onnxruntime" {text}')
    assert executables(folder) == {"config.pbtxt": ("library", True)}


@pytest.mark.parametrize("backend", ["onnxruntime", "python", "tensorrt", "mine", ""])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x7fELF\x02\x01", "library"),
        (b"openssl_conf = i\n[i]\nproviders = p\n", "configuration"),
    ],
)
@pytest.mark.parametrize("name", ["notes.dat", "weights.bin", "labels.txt", "README"])
def test_what_is_only_ever_loaded_as_code_runs_whatever_it_is_called(
    tmp_path: Path, backend: str, content: bytes, kind: str, name: str
) -> None:
    folder = model(tmp_path / "m", backend)
    (folder / "1" / name).write_bytes(content)
    assert executables(folder)[f"1/{name}"] == (kind, True)


def test_compiled_code_runs_in_a_language_model_and_beside_a_bare_graph_too(tmp_path: Path) -> None:
    llm = config(tmp_path / "llm", LLAMA_3_8B)
    (llm / "tokenizer.model").write_bytes(b"\x7fELF\x02\x01")
    assert executables(llm) == {"tokenizer.model": ("library", True)}
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "model.onnx").write_bytes(b"\x08\x07")
    (bare / "model.onnx.data").write_bytes(b"\x7fELF\x02\x01")
    (bare / "notes.pkl").write_bytes(pickle.dumps(Evil()))
    assert executables(bare) == {"model.onnx.data": ("library", True), "notes.pkl": ("pickle", False)}


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("helper.pyc", b"\xa7\x0d\r\n", "bytecode"),
        ("data", b"\xa7\x0d\r\n\0\0", "bytecode"),
        ("start", b"#!/bin/sh\n", "script"),
        ("wheels.zip", b"PK\x03\x04", "archive"),
        ("env.tar.gz", b"\x1f\x8b", "archive"),
        ("weights.dat", pickle.dumps(Evil()), "pickle"),
    ],
)
def test_what_a_python_model_could_load_counts_with_it_only(
    tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    for backend, runs in (("python", True), ("onnxruntime", False)):
        folder = model(tmp_path / backend, backend)
        (folder / "1" / name).write_bytes(content)
        assert executables(folder)[f"1/{name}"] == (kind, runs)


def test_the_file_that_pytorch_loads_is_one_whatever_it_is_called(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "pytorch", "1/weights.dat")
    (folder / "config.pbtxt").write_text('backend: "pytorch" default_model_filename: "weights.dat"')
    assert executables(folder) == {"1/weights.dat": ("pickle", True)}


@pytest.mark.parametrize("policy", ["all {}", "specific { versions: [2, 1] }", "latest { num_versions: 2 }"])
@pytest.mark.parametrize(
    "names",
    [
        'default_model_filename: "w.dat"',
        'cc_model_filenames { key: "8.0" value: "w.dat" }',
    ],
)
def test_every_version_that_is_loaded_counts(tmp_path: Path, policy: str, names: str) -> None:
    for backend, kind in (("python", "python"), ("pytorch", "torchscript"), ("tensorrt", "plan")):
        folder = versions(tmp_path / backend, f'backend: "{backend}" {names} version_policy {{ {policy} }}')
        code = {path for one in inspect(folder).executable if one.kind == kind for path in (one.path, *one.others)}
        described = {path for one in describe(folder, TENSORS).executable for path in (one.path, *one.others)}
        assert "1/w.dat" in code and "1/w.dat" in described


def test_a_version_that_is_not_loaded_needs_no_trust(tmp_path: Path) -> None:
    folder = versions(tmp_path / "m", 'backend: "pytorch" default_model_filename: "w.dat"')
    assert inspect(folder).executable == () and describe(folder, TENSORS).executable == ()


def test_the_environment_of_a_python_model_is_code(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "python", "1/model.py")
    (folder / "env" / "bin").mkdir(parents=True)
    (folder / "env" / "bin" / "activate").write_text("set")
    value = "$$TRITON_MODEL_DIRECTORY/env"
    setting = f'parameters {{ key: "EXECUTION_ENV_PATH" value {{ string_value: "{value}" }} }}'
    (folder / "config.pbtxt").write_text(f'backend: "python" {setting}')
    [one] = [one for one in inspect(folder).executable if one.kind == "archive"]
    assert one.others == ("env/bin/activate",)


def test_every_program_counts_when_a_service_trusts_remote_code(tmp_path: Path) -> None:
    folder = config(tmp_path / "m", {**LLAMA_3_8B, "auto_map": {"AutoModel": "modeling.Mine"}})
    (folder / "modeling.py").touch()
    (folder / "helper.py").touch()
    read, files, budget = huggingface.read(folder), ["helper.py", "modeling.py"], Budget()
    [one] = code_of(read, folder, files, budget, trusts_remote_code=True)
    assert one.path == "config.json" and one.others == ("helper.py", "modeling.py")
    assert not code_of(read, folder, files, budget, trusts_remote_code=False)[0].runs
    read.custom_code = ()
    [one] = code_of(read, folder, files, budget, trusts_remote_code=True)
    assert one.runs and one.others == ("helper.py", "modeling.py")
    assert code_of(read, folder, files, budget) == ()


@pytest.mark.parametrize(
    ("backend", "name", "runs"),
    [
        ("tensorrt", "model.plan", True),
        ("tensorrt", "weights.dat", True),
        ("onnxruntime", "old.plan", False),
        ("tensorflow", "model.savedmodel/saved_model.pb", True),
        ("tensorflow", "model.graphdef", True),
    ],
)
def test_a_compiled_plan_or_graph_counts_with_the_backend_that_loads_it(
    tmp_path: Path, backend: str, name: str, runs: bool
) -> None:
    folder = model(tmp_path / "m", backend)
    (folder / "1" / name).parent.mkdir(exist_ok=True)
    (folder / "1" / name).write_bytes(b"ptrt")
    if name == "weights.dat":
        (folder / "config.pbtxt").write_text(f'backend: "{backend}" default_model_filename: "{name}"')
    assert executables(folder)[f"1/{name}"] == ("plan", runs)


def test_a_backend_that_is_not_known_can_run_anything(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "vllm")
    (folder / "1" / "model.json").write_text('{"model": "x", "trust_remote_code": true}')
    assert executables(folder) == {"1/model.json": ("backend", True)}
    assert "the console does not know what that runs" in inspect(folder).executable[0].said


def test_graphs_and_weights_without_code_need_no_trust(tmp_path: Path) -> None:
    for backend, name in (("onnxruntime", "model.onnx"), ("openvino", "model.xml"), ("openvino", "model.bin")):
        folder = model(tmp_path / f"{backend}{name}", backend)
        (folder / "1" / name).write_bytes(b"\x08\x07 a graph")
        (folder / "1" / "labels.txt").write_text("one\ntwo\n")
        assert executables(folder) == {}
