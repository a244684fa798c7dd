"""What a folder is said to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datasets.errors import SourceError
from datasets.inspect.recognise import recognise
from datasets.sources.base import Page, Site
from datasets.sources.local.source import LocalSource
from datasets.specs import Recognised


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_folder = tmp_path / "allowed" / "data" / "thing"
    new_folder.mkdir(parents=True)
    return new_folder


def seen(folder: Path, path: str = "thing") -> Recognised:
    return recognise(LocalSource({"path": str(folder.parent)}, Site(roots=(folder.parent,))), path)


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_model_with_a_config_and_a_version(folder: Path) -> None:
    put(folder, config_DOT_pbtxt='# backend: "no"\nname: "thing"\nbackend: "python"\n')
    put(folder / "1", model_DOT_py="")
    put(folder / "3", model_DOT_py="")
    model = seen(folder)
    assert model.kind == "triton_model"
    assert model.summary == "A Triton model (python) with versions 1, 3."
    assert (model.models, model.problems) == (("thing",), ())
    assert model.details == {"backend": "python", "versions": [1, 3], "has_config": True}


def test_a_platform_counts_as_the_backend(folder: Path) -> None:
    put(folder, config_DOT_pbtxt='platform: "onnxruntime_onnx"\n')
    put(folder / "1", model_DOT_onnx="x")
    assert seen(folder).details["backend"] == "onnxruntime"


def test_a_model_without_a_config_is_known_by_its_file(folder: Path) -> None:
    put(folder / "1", model_DOT_onnx="x")
    model = seen(folder)
    assert (model.kind, model.details["backend"], model.problems) == ("triton_model", "onnxruntime", ())


def test_a_model_without_a_version_folder_has_a_problem(folder: Path) -> None:
    put(folder, config_DOT_pbtxt='backend: "python"', model_DOT_py="")
    model = seen(folder)
    assert model.kind == "triton_model"
    assert model.problems == ("There is no version folder: make a folder named 1 and move model.py into it.",)


def test_an_empty_version_folder_is_a_problem_but_not_of_an_ensemble(folder: Path) -> None:
    (folder / "1").mkdir()
    put(folder, config_DOT_pbtxt='backend: "python"')
    assert seen(folder).problems == ("The version folder 1/ is empty: put the model file into it.",)
    put(folder, config_DOT_pbtxt='platform: "ensemble"')
    assert seen(folder).problems == ()
    (folder / "1").rmdir()
    assert seen(folder).problems == (), "a bucket holds no empty folder: the service makes it"


def test_a_version_folder_with_unknown_files_and_no_config_is_a_problem(folder: Path) -> None:
    put(folder / "1", stuff_DOT_dat="x")
    assert "no config.pbtxt" in seen(folder).problems[0]


def test_a_config_that_is_not_text_is_a_problem(folder: Path) -> None:
    (folder / "config.pbtxt").write_bytes(b"\xff\x00")
    (folder / "1").mkdir()
    assert "config.pbtxt is not UTF-8 text." in seen(folder).problems


def test_a_repository_names_its_models(folder: Path) -> None:
    for name in ("svm", "echo"):
        put(folder / name, config_DOT_pbtxt='backend: "python"')
    put(folder / "bare" / "1", model_DOT_onnx="x")
    put(folder / "notes", a_DOT_txt="x")
    put(folder, README_DOT_txt="x")
    model = seen(folder)
    assert (model.kind, model.models) == ("triton_repository", ("bare", "echo", "svm"))
    assert model.summary == "A Triton repository of 3 models: bare, echo, svm."


def test_a_bare_onnx_file(folder: Path) -> None:
    put(folder, net_DOT_onnx="12345", README_DOT_md="x")
    assert (seen(folder).kind, seen(folder).summary) == ("onnx", "An ONNX model: net.onnx, 5 B.")
    alone = seen(folder, "thing/net.onnx")
    assert (alone.kind, alone.details) == ("onnx", {"file": "net.onnx"})


def test_several_onnx_files_ask_for_a_choice(folder: Path) -> None:
    put(folder, a_DOT_onnx="x", b_DOT_onnx="x")
    assert "choose one" in seen(folder).problems[0]


def test_a_hugging_face_model(folder: Path) -> None:
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "auto_map": {}}
    put(folder, config_DOT_json=json.dumps(config), model_DOT_safetensors="x" * 2048, tokenizer_DOT_json="{}")
    model = seen(folder)
    assert model.summary == "A Hugging Face model: LlamaForCausalLM, 2.0 KiB of weights."
    assert (model.kind, model.problems) == ("huggingface", ())
    assert model.details == {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "custom_code": True}


def test_a_hugging_face_model_without_weights_has_a_problem(folder: Path) -> None:
    put(folder, config_DOT_json='{"model_type": "llama"}')
    model = seen(folder)
    assert model.kind == "huggingface"
    assert any("no weights" in problem for problem in model.problems)


@pytest.mark.parametrize("config", ["{}", "[]", "not json", '{"other": 1}', "[" * 50_000])
def test_another_config_json_is_not_a_hugging_face_model(folder: Path, config: str) -> None:
    put(folder, config_DOT_json=config, model_DOT_safetensors="x")
    assert seen(folder).kind == "unknown"


def test_an_empty_folder(folder: Path) -> None:
    assert seen(folder) == Recognised("empty", "An empty folder.")


def test_anything_else_is_unknown_and_says_what_is_expected(folder: Path) -> None:
    put(folder, notes_DOT_txt="x")
    assert seen(folder).kind == "unknown"
    assert "config.pbtxt" in seen(folder).problems[0]
    assert seen(folder, "thing/notes.txt").kind == "unknown"


def test_what_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(SourceError):
        seen(folder, "nothing")


def test_a_huge_folder_costs_a_bounded_number_of_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(120):
        put(folder / f"model-{number:03}", config_DOT_pbtxt="")
    looks: list[str] = []
    original = LocalSource.list

    def counted(self: LocalSource, path: str, after: str = "", limit: int = 200) -> Page:
        looks.append(path)
        return original(self, path, after, limit)

    monkeypatch.setattr(LocalSource, "list", counted)
    model = seen(folder)
    assert len(looks) <= 51
    assert (len(model.models), model.details["complete"]) == (50, False)


def test_what_a_copy_leaves_out_is_no_part_of_what_a_folder_is(folder: Path) -> None:
    put(folder, model_DOT_onnx="x")
    (folder / "._model.onnx").write_text("x")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "2").symlink_to("gone")
    assert seen(folder).kind == "onnx" and seen(folder).problems == ()


def test_a_config_of_line_breaks_is_read_in_one_pass(folder: Path) -> None:
    """Tried at each line break anew, it would take minutes."""
    put(folder, config_DOT_pbtxt="\n" * 250_000 + '  backend: "python"\n')
    assert seen(folder).details["backend"] == "python"
