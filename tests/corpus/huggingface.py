"""Hugging Face folders as people have them, for vLLM: layouts that it takes, and others, with what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.corpus.case import Case, Write
from tests.datasets.inspect.made import gguf
from tests.services import llama_folder

Change = Callable[[Path], None]
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
PICKLED = "The weights are Python pickles (pytorch_model.bin), which can hold code: prefer safetensors files."


def _folder(*changes: Change, **config: Any) -> Write:
    """A small llama without a model in it, changed."""

    def write(folder: Path) -> None:
        llama_folder.write(folder, **config)
        for change in changes:
            change(folder)

    return write


def _file(name: str, content: str | bytes) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def _json(name: str, content: Any) -> Change:
    return _file(name, json.dumps(content))


def _without(*names: str) -> Change:
    def change(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def _template_in_a_file(folder: Path) -> None:
    """As newer transformers save it."""
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def _cached(folder: Path) -> None:
    """As the Hugging Face libraries keep it: a snapshot of links to blobs."""
    plain = folder.parent / f".{folder.name}"
    llama_folder.write(plain)
    snapshot, blobs = folder / "snapshots" / "0123abc", folder / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(sorted(one for one in plain.iterdir() if one.is_file())):
        path.replace(blobs / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    shutil.rmtree(plain)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abc")


def _adapter(name: str = "pirate", path: str = "adapters/pirate", **more: Any) -> Mapping[str, Any]:
    return {"lora_modules": [{"name": name, "path": path}], **more}


def _case(name: str, write: Write, **more: Any) -> Case:
    return Case(name, write, framework="vllm", **more)


def _refused(name: str, write: Write, *sentences: str, **more: Any) -> Case:
    return _case(name, write, refused=sentences, **more)


BERT = {"architectures": ["BertModel"], "model_type": "bert"}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}

TAKEN = (
    _case("hf-plain", _folder()),
    _case("hf-sharded", _folder(llama_folder.shard)),
    _case("hf-template-file", _folder(_template_in_a_file)),
    _case(
        "hf-several-templates",
        _folder(_json("tokenizer_config.json", {"chat_template": [{"name": "default", "template": TEMPLATE}]})),
    ),
    _case("hf-no-template", _folder(_json("tokenizer_config.json", {}))),
    _case(
        "hf-generation-config",
        _folder(
            _json("generation_config.json", {"temperature": 0.6, "eos_token_id": [1, 2]}),
            _json("special_tokens_map.json", {"eos_token": "</s>"}),
            _file("README.md", "# A model\n"),
            _file(".gitattributes", "*.safetensors filter=lfs\n"),
            _file("original/params.json", "{}"),
        ),
    ),
    _case("hf-adapter", _folder(), config=_adapter()),
    _case("hf-embedding", _folder(_json("modules.json", []), _json("1_Pooling/config.json", {}), **BERT)),
    _case("hf-awq", _folder(quantization_config=AWQ)),
    _case("hf-tekken", _folder(_without("tokenizer.json"), _json("tekken.json", {}))),
    _case("hf-cache", _cached, path="snapshots/0123abc"),
)
REFUSED = (
    _refused(
        "hf-missing-shard",
        _folder(llama_folder.shard, _without("model-00001-of-00002.safetensors")),
        "Files of the weights are missing: model-00001-of-00002.safetensors. Copy the whole folder.",
    ),
    _refused(
        "hf-no-tokenizer",
        _folder(_without("tokenizer.json")),
        "There is no tokenizer: expected tokenizer.json or tokenizer.model beside config.json.",
    ),
    _refused(
        "hf-gguf-alone",
        lambda folder: _gguf(folder),
        "GGUF files alone cannot be served here: use the model's Hugging Face folder, with its config.json.",
    ),
    _refused(
        "hf-adapter-alone",
        lambda folder: shutil.move(
            llama_folder.write(folder.parent / f".{folder.name}") / "adapters" / "pirate", folder
        ),
        "This is a LoRA adapter, not a model: choose its base model, and name this folder as a LoRA module.",
    ),
    _refused(
        "hf-adapter-missing",
        _folder(),
        "The LoRA module x names the folder adapters/x, which is not there.",
        in_report=False,
        config=_adapter("x", "adapters/x"),
    ),
    _refused(
        "hf-cache-root",
        _cached,
        "This is the cache of a Hugging Face model: choose a folder in snapshots as the model path.",
    ),
    _refused(
        "hf-weights-cut",
        _folder(lambda folder: _cut(folder / "model.safetensors")),
        "model.safetensors: it is cut short: 10 bytes are missing at its end; copy it again.",
    ),
    _refused(
        "hf-own-code",
        _folder(_file("modeling_own.py", ""), auto_map={"AutoModel": "modeling_own.Own"}),
        "The model brings Python code of its own (auto_map in config.json), which would run here: an administrator may "
        "set trust_remote_code after reading it.",
        in_report=False,
    ),
)


def _gguf(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model-q4.gguf").write_bytes(gguf([]))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


CASES = (*TAKEN, *REFUSED)
