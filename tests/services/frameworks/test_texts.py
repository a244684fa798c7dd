"""Text files as Notepad and PowerShell write them: read where that is possible, and else named before a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.folder import inspect
from datasets.inspect.recognise import recognise
from datasets.sources.base import Site
from datasets.sources.local.source import LocalSource
from services.frameworks.triton import labels
from services.frameworks.triton.describe import describe as describe_triton
from services.frameworks.vllm.describe import describe as describe_vllm
from tests.services.frameworks.vllm.test_describe import adapter, model

WINDOWS = ["utf-8-sig", "utf-16", "utf-16-be-marked"]
CONFIG = """# über alles
backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [ 4 ] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" }]
"""


def encoded(text: str, encoding: str) -> bytes:
    text = text.replace("\n", "\r\n")
    return f"\ufeff{text}".encode("utf-16-be") if encoding == "utf-16-be-marked" else text.encode(encoding)


@pytest.fixture
def triton(tmp_path: Path) -> Path:
    folder = tmp_path / "m"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "labels.txt").write_text("null\nüber\n")
    (folder / "1" / "model.py").write_text("class TritonPythonModel: ...\n")
    return folder


@pytest.fixture
def language_model(tmp_path: Path) -> Path:
    (tmp_path / "generation_config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    return model(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", *WINDOWS])
def test_a_config_written_on_windows_is_read(triton: Path, encoding: str) -> None:
    (triton / "config.pbtxt").write_bytes(encoded(CONFIG, encoding))
    assert pbtxt.parse(pbtxt.read(triton)).backend == "python"
    assert describe_triton(triton, {}).problems == inspect(triton, "m").problems == ()
    source = LocalSource({"path": str(triton.parent)}, Site(roots=(triton.parent,)))
    assert recognise(source, "m").details["backend"] == "python"


@pytest.mark.parametrize("encoding", WINDOWS)
@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "chat_template.jinja",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "merges.txt",
    ],
)
def test_what_vllm_would_read_and_cannot_is_named_before_the_start(
    language_model: Path, name: str, encoding: str
) -> None:
    assert describe_vllm(language_model, {}).problems == ()
    path = language_model / name
    text = path.read_text() if path.exists() else "{}"
    path.write_bytes(encoded(text, encoding))
    words = "UTF-8 with a byte order mark" if encoding == "utf-8-sig" else "UTF-16"
    sentence = f"{name} is text in {words}, which vLLM cannot read: save it as UTF-8 without a byte order mark."
    assert sentence in describe_vllm(language_model, {}).problems
    assert sentence in inspect(language_model).problems


def test_line_ends_of_windows_alone_are_no_problem_for_vllm(language_model: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "chat_template.jinja"):
        text = (language_model / name).read_text().replace(",", ",\n")
        (language_model / name).write_bytes(encoded(text, "utf-8"))
    assert describe_vllm(language_model, {}).problems == ()


def test_an_adapter_is_looked_at_too(language_model: Path) -> None:
    folder = language_model / "adapter"
    folder.mkdir()
    adapter(folder)
    (folder / "adapter_config.json").write_bytes(encoded('{"r": 8}', "utf-8-sig"))
    problems = describe_vllm(language_model, {"lora_modules": [{"name": "pirate", "path": "adapter"}]}).problems
    assert [problem.partition(", which")[0] for problem in problems] == [
        "LoRA module pirate: adapter_config.json is text in UTF-8 with a byte order mark"
    ]


@pytest.mark.parametrize(("encoding", "reads"), [("utf-8", True), ("utf-8-sig", True), ("utf-16", False)])
def test_source_that_python_cannot_read_is_named_before_the_start(triton: Path, encoding: str, reads: bool) -> None:
    (triton / "1" / "model.py").write_bytes(encoded("class TritonPythonModel: ...\n", encoding))
    expected = () if reads else ("1/model.py is text in UTF-16, which Python cannot read: save it as UTF-8.",)
    assert describe_triton(triton, {}).problems == inspect(triton, "m").problems == expected


@pytest.mark.parametrize("encoding", ["utf-8", *WINDOWS])
def test_labels_are_written_anew_as_triton_reads_them(triton: Path, encoding: str) -> None:
    (triton / "labels.txt").write_bytes(encoded("null\nüber\n", encoding))
    parsed = pbtxt.parse(pbtxt.read(triton))
    files = labels.rewritten(parsed, {"labels.txt": triton / "labels.txt", "1/model.py": triton / "1" / "model.py"})
    assert files == {"labels.txt": "null\nüber\n".encode()}


@pytest.mark.parametrize("content", ["null\nüber\n".encode(), "null\nüber\n".encode("latin-1"), b""])
def test_labels_that_triton_reads_as_they_are_stay(triton: Path, content: bytes) -> None:
    (triton / "labels.txt").write_bytes(content)
    assert labels.rewritten(pbtxt.parse(CONFIG), {"labels.txt": triton / "labels.txt"}) == {}
