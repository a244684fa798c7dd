"""Lambda layers in Keras files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable
from datasets.inspect.formats import keras
from tests.datasets.inspect.made import PATIENT

LAYERS = {"config": {"layers": [{"class_name": "Dense"}, {"class_name": "Lambda", "config": {"function": "4wEA"}}]}}


def written(path: Path, config: object) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", bytes(1000))
    return path


def test_a_lambda_layer_is_found_in_both_formats(tmp_path: Path) -> None:
    assert keras.has_lambda(written(tmp_path / "a.keras", LAYERS), Budget())
    assert not keras.has_lambda(written(tmp_path / "b.keras", {"class_name": "Dense"}), Budget())
    old = tmp_path / "c.h5"
    text = json.dumps(LAYERS).encode()
    # Across the border of two pieces.
    old.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(keras.PIECE - len(text) + 30) + text)
    assert keras.has_lambda(old, Budget())
    old.write_bytes(b"\x89HDF\r\n\x1a\n" + b'"class_name": "LambdaCallback"' + bytes(100))
    assert not keras.has_lambda(old, Budget())


@PATIENT
@given(st.binary(max_size=300))
def test_any_bytes_end_in_one_kind_of_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "m.keras"
    path.write_bytes(b"PK\x03\x04" + data)
    with pytest.raises(Unreadable):
        keras.has_lambda(path, Budget())
