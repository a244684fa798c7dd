"""One look at a folder: of each kind, of the samples, and of anything at all."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.inspect import folder
from datasets.inspect.folder import inspect
from datasets.inspect.report import Report
from tests.datasets.inspect.formats.test_onnx import external
from tests.datasets.inspect.made import PATIENT, gguf, text
from tests.servers.triton import shared_samples
from tests.services.frameworks.triton.onnx_files import model, tensor, write_digits


def test_the_samples_are_what_they_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    report = inspect(shared_samples(tmp_path_factory), "samples")
    assert report.kind == "triton_repository" and not report.problems and report.whole
    models = {one.name: one for one in report.models}
    assert set(models) >= {"mnist-svm", "mnist-onnx", "repeat", "echo"}
    digits = models["mnist-onnx"]
    assert [(one.name, one.datatype, one.shape) for one in (*digits.inputs, *digits.outputs)] == [
        ("predict", "FP32", (-1, 64)),
        ("label", "INT64", (-1,)),
        ("probabilities", "FP32", (-1, 10)),
    ]
    assert (
        not digits.runs_code
        and {row.verdict for row in digits.comparison} == {"same"}
        and 'name: "mnist-onnx"' in digits.suggested
    )
    svm = models["mnist-svm"]
    assert [(one.path, one.kind) for one in svm.runs_code] == [("1/model.py", "python"), ("1/model.joblib", "pickle")]
    assert "sklearn.svm._classes.SVC" in svm.runs_code[1].imports
    assert len(report.runs_code) == 4


def test_a_report_is_the_same_after_json(tmp_path_factory: pytest.TempPathFactory) -> None:
    report = inspect(shared_samples(tmp_path_factory))
    stored = json.loads(json.dumps(report.to_json()))
    assert Report.from_json(stored) == report
    with pytest.raises(ValueError, match="another version"):
        Report.from_json({**stored, "version": 0})


def test_an_onnx_file_is_told_with_or_without_a_folder_around_it(tmp_path: Path) -> None:
    write_digits(tmp_path / "digits.onnx")
    for path in (tmp_path, tmp_path / "digits.onnx"):
        report = inspect(path, "digits")
        assert report.kind == "onnx" and [one.name for one in report.inputs] == ["pixels"] and report.suggested
    (tmp_path / "other.onnx").write_bytes(b"nonsense")
    assert "There are 2 .onnx files here; this is said of digits.onnx." in inspect(tmp_path).notes
    assert "cannot be read as ONNX" in inspect(tmp_path / "other.onnx").problems[0]


def test_a_config_that_contradicts_its_model_is_a_problem(tmp_path: Path) -> None:
    write_digits(tmp_path / "1" / "model.onnx")
    (tmp_path / "config.pbtxt").write_text(
        'backend: "onnxruntime" input { name: "pixels" data_type: TYPE_FP32 dims: [-1, 32] }'
    )
    report = inspect(tmp_path, "digits")
    [problem] = report.problems
    assert problem == "Input pixels: The model has [-1, 64]: write dims: [-1, 64]."
    assert {row.what: row.verdict for row in report.comparison if row.verdict != "same"} == {
        "input pixels": "wrong",
        "output label": "left_out",
        "batching": "left_out",
    }
    (tmp_path / "config.pbtxt").write_text(report.suggested)
    assert not inspect(tmp_path, "digits").problems


def test_weights_beside_an_onnx_file_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(external("model.onnx.data"))
    assert "model.onnx.data, which is missing" in inspect(tmp_path).problems[0]


def test_a_gguf_file_is_named_with_the_reason_why_it_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf([("general.name", 8, text("Tiny"))]))
    report = inspect(tmp_path)
    assert report.kind == "gguf" and dict(report.facts)["Name"] == "Tiny"
    assert "vLLM needs the tokenizer and config.json of the original model" in report.problems[0]


def test_files_that_are_only_their_size_are_not_called_broken(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.onnx"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 3 << 30)
        report = inspect(tmp_path / name)
        assert not report.problems and "was not looked into yet" in report.notes[0]


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inspect(tmp_path).kind == "empty"
    gone = inspect(tmp_path / "gone")
    assert not gone.whole and gone.problems == ("The files cannot be read: No such file or directory.",)

    def fails(*_: object) -> Report:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(folder, "_inspect", fails)
    assert not inspect(tmp_path).whole and "the log of the worker" in inspect(tmp_path).problems[0]


def test_a_folder_of_endless_parts_is_given_up_and_said_not_to_be_whole(tmp_path: Path) -> None:
    write_digits(tmp_path / "1" / "model.onnx")
    for number in range(3000):
        (tmp_path / "1" / f"{number}.txt").touch()
    began = time.monotonic()
    report = inspect(tmp_path, seconds=0)
    assert not report.whole and "takes too long" in report.problems[0] and time.monotonic() - began < 30


NAMES = st.sampled_from(
    [
        "config.pbtxt",
        "config.json",
        "model.onnx",
        "1/model.onnx",
        "1/model.py",
        "m/1/model.onnx",
        "m/config.pbtxt",
        "model.safetensors",
        "model.safetensors.index.json",
        "m.gguf",
        "m.pkl",
        "m.bin",
        "m.h5",
        "tokenizer_config.json",
    ]
)
CONTENTS = st.binary(max_size=60) | st.sampled_from(
    [
        b"{}",
        b'{"model_type": 3}',
        b'{"architectures": {}}',
        b'platform: "ensemble"',
        b'backend: "onnxruntime"',
        b"version_policy { specific { } }",
        model([tensor("x", 1, ["n"])], [tensor("y", 1, [])]),
        b"GGUF\x03\0\0\0",
        b"PK\x03\x04",
    ]
)


@PATIENT
@given(st.dictionaries(NAMES, CONTENTS, max_size=5))
def test_any_folder_at_all_is_told(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    root = tmp_path_factory.mktemp("any")
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    report = folder._inspect(root, "", folder.Budget())  # without the net for our own mistakes
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report
