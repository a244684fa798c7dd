"""Pickles in their wrappings: PyTorch's old and new format, joblib's compressions, and zips that deceive."""

from __future__ import annotations

import bz2
import collections
import gzip
import io
import lzma
import os
import pickle
import subprocess
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats import pickle_files
from tests.datasets.inspect.made import PATIENT, SYSTEM, Evil, damaged, told
from tests.servers import triton, vllm

TORCH = """
import sys, torch
state = {"w": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16), "p": torch.nn.Parameter(torch.ones(2))}
torch.save(state, "new.bin")
torch.save(state, "old.bin", _use_new_zipfile_serialization=False)
torch.save(torch.nn.Linear(2, 2), "module.pt")
torch.save({"w": torch.ones(2), "run": print}, "code.bin", _use_new_zipfile_serialization=False)
class Plus(torch.nn.Module):
    def forward(self, x):
        return x + 1
"""
JOBLIB = """
import joblib, numpy
from sklearn.svm import SVC
model = SVC().fit(numpy.eye(4), [0, 1, 0, 1])
for name, compress in (("plain", 0), ("zlib", ("zlib", 3)), ("gzip", ("gzip", 3)), ("bz2", ("bz2", 3)),
                       ("xz", ("xz", 3)), ("lzma", ("lzma", 3))):
    joblib.dump(model, name + ".joblib", compress=compress)
"""


def inspect(path: Path) -> pickle_files.Content:
    return pickle_files.inspect(path, Budget())


@pytest.mark.slow
def test_what_pytorch_writes_holds_nothing_but_tensors_unless_it_does(tmp_path: Path) -> None:
    subprocess.run([vllm.runtime_root() / "bin" / "python", "-P", "-c", TORCH], cwd=tmp_path, check=True, timeout=120)
    for name in ("new.bin", "old.bin"):
        seen = inspect(tmp_path / name)
        assert (seen.kind, seen.whole, seen.only_tensors) == ("torch", True, True), name
    module, code = inspect(tmp_path / "module.pt"), inspect(tmp_path / "code.bin")
    assert "torch.nn.modules.linear.Linear" in module.imports and not module.only_tensors
    assert {"builtins.print", "__builtin__.print"} & set(code.imports) and not code.only_tensors


@pytest.mark.slow
def test_what_joblib_writes_is_unpacked_whatever_it_is_packed_with(tmp_path: Path) -> None:
    python = triton.runtime_root() / "bin" / "python"
    subprocess.run([python, "-P", "-c", JOBLIB], cwd=tmp_path, check=True, timeout=120)
    files = sorted(tmp_path.glob("*.joblib"))
    assert len(files) == 6
    for path in files:
        seen = inspect(path)
        assert seen.kind == "pickle" and "sklearn.svm._classes.SVC" in seen.imports, path
        assert not seen.whole and not seen.only_tensors  # an array's bytes follow


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_a_packed_pickle_is_followed(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pack(pickle.dumps([Evil()])))
    assert inspect(path).imports == (SYSTEM,)
    data = pack(pickle.dumps([Evil(), "x" * 100, os.urandom(3000)]))
    path.write_bytes(data[: len(data) // 2])
    try:
        assert not inspect(path).whole
    except Unreadable as error:
        assert "cut short" in str(error)


def test_a_bomb_is_not_unpacked_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    bomb = b"\x80\x04\x8e" + (1 << 26).to_bytes(8, "little")
    path.write_bytes(zlib.compress(bomb + bytes(1 << 26)))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    assert not inspect(path).whole
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def zipped(path: Path, entries: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


TENSORS = pickle.dumps(collections.OrderedDict(a=1), 2)


def test_a_zip_of_harmless_names_is_harmless_and_one_of_two_meanings_is_not(tmp_path: Path) -> None:
    assert inspect(zipped(tmp_path / "a", [("m/data.pkl", TENSORS), ("m/data/0", b"x")])).only_tensors
    evil = inspect(zipped(tmp_path / "b", [("m/data.pkl", TENSORS), ("m/other.pkl", pickle.dumps(Evil()))]))
    assert SYSTEM in evil.imports and not evil.only_tensors
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zipped(tmp_path / "c", [("m/data.pkl", pickle.dumps(Evil())), ("m/data.pkl", TENSORS)])
    assert not inspect(twice).only_tensors
    shifted = tmp_path / "d"
    inner = zipped(tmp_path / "e", [("m/data.pkl", TENSORS)]).read_bytes()
    shifted.write_bytes(b"PK\x03\x04" + b"x" * 30 + inner)
    assert not inspect(shifted).only_tensors


def test_programs_and_libraries_in_a_zip_are_told(tmp_path: Path) -> None:
    script = zipped(tmp_path / "a", [("m/data.pkl", TENSORS), ("m/code/__torch__.py", b"")])
    assert inspect(script).kind == "torchscript"
    package = inspect(zipped(tmp_path / "b", [("m/data.pkl", TENSORS), ("m/model.so", b"\x7fELF")]))
    assert package.libraries == ("m/model.so",) and not package.only_tensors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\x00\xff" * 20, "no pickle"),
        (b"PK\x03\x04" + b"x" * 50, "damaged zip"),
        (b"(" + bytes(range(200, 256)), "no pickle"),
    ],
)
def test_what_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.bin").write_bytes(content)
    with pytest.raises(Unreadable, match=message):
        inspect(tmp_path / "m.bin")


def test_a_hole_is_not_said_to_be_anything(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(bytes(4096))
    assert inspect(tmp_path / "m.bin") == pickle_files.Content("", whole=False)


def seed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("m/data.pkl", TENSORS)
    return buffer.getvalue()


ZIP = seed()


@PATIENT
@given(damaged(ZIP))
def test_a_damaged_zip_ends_in_one_kind_of_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "m.bin"
    path.write_bytes(data)
    with told():
        inspect(path)
