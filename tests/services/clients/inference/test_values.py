"""Arrays out of what people type, have generated or upload, and what is said when it does not fit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import serialize_byte_tensor

from console.errors import InvalidFields
from services.clients.inference import files as inference_files
from services.clients.inference import values as inference_values
from services.clients.inference.call import Model
from services.clients.inference.inputs import read_inputs
from services.clients.inference.values import BadValues, from_json, generate, parse_text
from services.clients.inference.wire import plain, raw_bytes
from services.specs import Tensor


def wrong(data: Any, datatype: str, shape: Sequence[int]) -> str:
    with pytest.raises(BadValues) as caught:
        from_json(data, datatype, shape)
    return caught.value.message


def test_flat_and_nested_lists_give_the_same_array() -> None:
    flat, nested = from_json([1, 2, 3, 4], "FP32", [-1, 2]), from_json([[1, 2], [3, 4]], "FP32", [-1, 2])
    assert flat.tolist() == nested.tolist() == [[1, 2], [3, 4]]
    assert flat.dtype == np.float32


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "message"),
    [
        ([0] * 63, "FP32", [1, 64], "Shape [1, 64] needs 64 values, you gave 63."),
        ([[1, 2], [3]], "FP32", [-1, 2], "The rows of this list do not all have the same length."),
        ([1, "2"], "FP32", [2], 'FP32 needs a number everywhere; value 2 is "2".'),
        ([1, 2.5], "INT32", [2], "INT32 needs a whole number everywhere; value 2 is 2.5."),
        ([True], "INT8", [1], "INT8 needs a whole number everywhere; value 1 is true."),
        ([1], "BOOL", [1], "BOOL needs true or false everywhere; value 1 is 1."),
        ([300], "UINT8", [1], "300 does not fit UINT8, which holds 0 to 255."),
        ([-1], "UINT64", [1], "-1 does not fit UINT64, which holds 0 to 18446744073709551615."),
        ([1, 70000], "FP16", [2], "70000 does not fit FP16."),
        ([10**400], "FP64", [1], "A value does not fit FP64."),
        (["a", 1], "BYTES", [2], "BYTES needs text everywhere; value 2 is 1."),
        ([1, 2], "FP32", [-1, -1], "Say how large each free dimension of [-1, -1] is: 2 values do not tell."),
        ([1, 2, 3], "FP32", [-1, 2], "Shape [-1, 2] needs a multiple of 2 values, you gave 3."),
        ([None], "FP32", [1], "FP32 needs a number everywhere; value 1 is null."),
        ([{"a": 1}], "FP32", [1], 'FP32 needs a number everywhere; value 1 is {"a": 1}.'),
    ],
)
def test_what_does_not_fit_is_said_in_words(data: Any, datatype: str, shape: list[int], message: str) -> None:
    assert wrong(data, datatype, shape) == message


def test_a_list_nested_without_end_is_refused() -> None:
    data: Any = 1
    for _ in range(200):
        data = [data]
    assert wrong(data, "FP32", [-1]) == "This list is nested too deeply."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1, 2 3\n4", [1, 2, 3, 4]),
        ("[1, 2]", [1, 2]),
        ("-1.5e3", [-1500.0]),
        ('{"inputs": [{"name": "other", "data": [9]}, {"name": "x", "data": [1, 2]}]}', [1, 2]),
        ('{"data": [[3]]}', [[3]]),
    ],
)
def test_numbers_lists_and_whole_requests_can_be_pasted(text: str, expected: list[Any]) -> None:
    assert parse_text(text, "x", "FP32") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[1, 2",
            "This is not JSON (Expecting ',' delimiter, line 1, column 6). Write the values as a list: [1, 2, 3].",
        ),
        ("[1, 2] 3", "This is not JSON (Extra data, line 1, column 8)."),
        ("  ", "Give values, or let them be generated."),
        (" , ", "Give values, or let them be generated."),
        ("[NaN]", "JSON has no NaN. Upload a .npy file to send such values."),
        ('{"inputs": [{"name": "y"}]}', "This request has no input named x."),
        ('{"a": 1}', "This is a JSON object without `data`. Write the values as a list: [1, 2, 3]."),
        ("[" * 100_000, "This is not JSON"),
    ],
)
def test_what_is_not_json_says_where(text: str, message: str) -> None:
    with pytest.raises(BadValues) as caught:
        parse_text(text, "x", "FP32")
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "datatype", "message"),
    [
        ("1 2 3 oops", "FP32", 'x: "oops" is not a number (value 4).'),
        ("1 2 - 3", "FP32", 'x: "-" is not a number (value 3).'),
        ("1,2,x", "INT32", 'x: "x" is not a whole number (value 3).'),
        ("1 2.5", "INT8", 'x: "2.5" is not a whole number (value 2).'),
        ("0x10", "UINT8", 'x: "0x10" is not a whole number (value 1).'),
        ("1e400", "FP64", "x: 1e400 does not fit FP64 (value 1)."),
        (
            "1,000",
            "INT32",
            'x: "000" is not a whole number (value 2). Write numbers without leading zeros and thousands',
        ),
        ("1_000", "FP32", 'x: "1_000" is not a number (value 1). Write numbers without'),
        ("1 NaN", "FP32", 'x: "NaN" is not a finite number (value 2). Upload a .npy file to send such values.'),
        ("-Infinity", "FP16", 'x: "-Infinity" is not a finite number (value 1). Upload a .npy'),
        ("NaN", "INT8", 'x: "NaN" is not a whole number (value 1).'),
        ("true 1", "BOOL", 'x: "1" is neither true nor false (value 2).'),
        ("true", "FP32", 'x: "true" is not a number (value 1).'),
        ("[1, oops]", "FP32", 'x: "oops" is not a number in JSON (line 1, column 5).'),
        ("[1, 1e400]", "FP64", "1e400 does not fit any datatype."),
        (
            "[a]",
            "BYTES",
            'This is not JSON (Expecting value, line 1, column 2). Write the values as a list: ["a", "b"].',
        ),
        ("\u0663", "INT32", 'x: "\u0663" is not a whole number (value 1).'),
    ],
)
def test_what_is_no_value_of_the_datatype_is_named_with_its_input(text: str, datatype: str, message: str) -> None:
    with pytest.raises(BadValues) as caught:
        from_json(parse_text(text, "x", datatype), datatype, [-1], "x")
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "datatype", "message"),
    [
        ("300", "UINT8", "x: 300 does not fit UINT8, which holds 0 to 255."),
        ("-1", "UINT16", "x: -1 does not fit UINT16"),
        ("1" * 5000, "INT64", "x: 111"),
        ("1" * 5000, "FP32", "x: 111"),
        ("1e39", "FP32", "x: 1e+39 does not fit FP32."),
        ("70000", "FP16", "x: 70000 does not fit FP16."),
        ("[[1, 2], [3]]", "FP32", "The rows of this list do not all have the same length."),
        ('["a", "\\ud800"]', "BYTES", "BYTES needs text everywhere; value 2 is no valid Unicode."),
    ],
)
def test_values_that_do_not_fit_are_named_with_their_input(text: str, datatype: str, message: str) -> None:
    with pytest.raises(BadValues) as caught:
        from_json(parse_text(text, "x", datatype), datatype, [-1], "x")
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "datatype", "expected"),
    [
        ("True false TRUE", "BOOL", [True, False, True]),
        ("+1; -2", "INT8", [1, -2]),
        (".5 5. +1e2", "FP64", [0.5, 5, 100]),
    ],
)
def test_values_can_be_typed_as_people_write_them(text: str, datatype: str, expected: list[Any]) -> None:
    assert from_json(parse_text(text, "x", datatype), datatype, [-1]).tolist() == expected


def test_texts_are_one_a_line_or_a_json_list() -> None:
    assert parse_text("a b\n\nc", "x", "BYTES") == ["a b", "", "c"]
    assert parse_text('["a\\n", "b"]', "x", "BYTES") == ["a\n", "b"]


@pytest.mark.parametrize("datatype", sorted(inference_values.DTYPES))
@pytest.mark.parametrize("kind", ["zeros", "ones", "random", "sequence"])
def test_every_datatype_can_be_generated_and_sent(kind: str, datatype: str) -> None:
    array = generate(kind, datatype, [-1, 300], low=0, high=20)
    assert array.shape == (1, 300) and array.dtype == inference_values.DTYPES[datatype]
    assert len(raw_bytes(array)) == 300 * array.itemsize if datatype != "BYTES" else len(raw_bytes(array)) > 300 * 4
    assert len(plain(array)) == 300


def test_random_numbers_stay_in_their_range() -> None:
    whole = generate("random", "INT8", [2000], low=3, high=5)
    assert set(whole.tolist()) == {3, 4, 5}
    real = generate("random", "FP32", [2000], low=-1, high=-0.5)
    assert real.min() >= -1 and real.max() <= -0.5 and real.std() > 0
    assert np.isfinite(generate("random", "FP64", [100], low=-1.7e308, high=1.7e308)).all()


@pytest.mark.parametrize(
    ("kind", "datatype", "more", "field", "message"),
    [
        ("noise", "FP32", {}, "generate", "Choose one of"),
        ("text", "FP32", {}, "generate", "Text can only fill BYTES"),
        ("random", "FP32", {"low": 2, "high": 1}, "generate", "lower end"),
        ("random", "UINT8", {"low": 0.2, "high": 0.8}, "generate", "No whole number that fits"),
        (
            "random",
            "FP16",
            {"low": -70000, "high": 1},
            "generate",
            "-70000 does not fit FP16, which holds up to 65504.",
        ),
        ("random", "FP32", {"low": -1e308, "high": 1.7e308}, "generate", "1.7e+308 does not fit FP32"),
        ("zeros", "FP32", {"shape": [1 << 40]}, "shape", "more than the 64 MiB"),
    ],
)
def test_what_cannot_be_generated_says_why(
    kind: str, datatype: str, more: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(BadValues) as caught:
        generate(kind, datatype, **{"shape": [4], **more})
    assert caught.value.field == field and message in caught.value.message


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_files_are_read_by_their_kind() -> None:
    def read(content: bytes, name: str, datatype: str = "FP32", shape: Sequence[int] = (-1, 2)) -> Any:
        return inference_files.from_file(content, name, "x", datatype, shape).tolist()

    expected = [[1, 2], [3, 4]]
    array = np.array(expected, dtype="<f4")
    assert read(b"[1, 2, 3, 4]", "a.json") == expected
    assert read(npy(array), "a.NPY") == expected
    assert read(npy(array.astype(">f4")), "a.npy") == expected, "another byte order is turned"
    assert read(npy(np.asfortranarray(array)), "a.npy") == expected
    assert read(array.tobytes(), "a.bin") == expected
    assert read(npy(np.array(["é", "b"])), "a.npy", "BYTES", [2]) == ["é".encode(), b"b"]
    assert read(b"\xff\x00 image", "a.png", "BYTES", [1]) == [b"\xff\x00 image"]
    half = np.array([0.5, 2], dtype=ml_dtypes.bfloat16)
    assert read(half.tobytes(), "a.raw", "BF16", [2]) == [0.5, 2]


@pytest.mark.parametrize(
    ("content", "name", "datatype", "message"),
    [
        (
            npy(np.zeros(4)),
            "a.npy",
            "FP32",
            "The file holds float64, and FP32 needs float32. Save it with array.astype('float32').",
        ),
        (npy(np.zeros(3, "<f4")), "a.npy", "FP32", "Shape [2, 2] needs 4 values, you gave 3."),
        (npy(np.zeros(4, "<f4"))[:-1], "a.npy", "FP32", "This is no .npy file"),
        (b"junk", "a.npy", "FP32", "This is no .npy file"),
        (b"[1, 2]", "a.json", "FP32", "Shape [2, 2] needs 4"),
        (b"\xff\xfe", "a.json", "FP32", "This is not JSON"),
        (b"x" * 15, "a.bin", "FP32", "Shape [2, 2] of FP32 needs 16 bytes, the file has 15."),
        (b"x", "a.bin", "BYTES", "A file is one BYTES value, and shape [2, 2] needs 4."),
    ],
)
def test_files_that_do_not_fit_say_why(content: bytes, name: str, datatype: str, message: str) -> None:
    with pytest.raises(BadValues) as caught:
        inference_files.from_file(content, name, "x", datatype, [2, 2])
    assert caught.value.field == "file" and caught.value.message.startswith(message)


def test_a_pickle_in_a_npy_file_is_never_loaded() -> None:
    with pytest.raises(BadValues, match=r"no \.npy file"):
        inference_files.from_file(npy(np.array([{"a": 1}], dtype=object)), "a.npy", "x", "FP32", [1])


def npy_of(header: str, content: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


@pytest.mark.parametrize(
    ("descr", "shape", "content"),
    [
        ("|S0", "(10000000000,)", b""),
        ("<U0", "(10000000000,)", b""),  # no bytes each, and an object each
        ("<f4", "(0, 100000000000000000000000)", b""),
        ("<f4", "(-1, -1)", b"1234"),
        ("<f4", "(True,)", b"1234"),
        ("<f4", f"({'-' * 5000}1,)", b"1234"),
    ],
)
def test_a_npy_header_that_promises_too_much_is_refused_at_once(descr: str, shape: str, content: bytes) -> None:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    with pytest.raises(BadValues, match=r"no \.npy file"):
        inference_files.from_file(npy_of(header, content), "a.npy", "x", "BYTES" if "4" not in descr else "FP32", [-1])


def test_millions_of_lists_are_refused_before_they_are_made() -> None:
    with pytest.raises(BadValues, match="one flat list"):
        inference_files.from_file(b"[" + b"[]," * 1_000_001 + b"[]]", "a.json", "x", "FP32", [-1])


def test_a_number_of_thousands_of_digits_is_no_json() -> None:
    with pytest.raises(BadValues, match="This is not JSON"):
        inference_files.from_file(b"[" + b"1" * 5000 + b"]", "a.json", "x", "INT64", [-1])


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_texts_of_any_bytes_travel_as_tritonclient_writes_them(values: list[bytes]) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    expected = serialize_byte_tensor(array)
    assert raw_bytes(array) == (expected.item() if expected.size else b"")


MODEL = Model("m", (Tensor("a", "FP32", (-1, 2)), Tensor("b", "BYTES", (1,))), ())


def test_every_wrong_input_is_named_at_once() -> None:
    rows = [
        {"name": "a", "shape": [1, 3], "data": [1, 2, 3]},
        {"name": "b", "datatype": "FP32", "data": ["x"]},
        {"name": "c", "data": []},
        {"name": "b"},
        {"name": "b", "data": ["x"], "generate": "zeros"},
        {"name": "a", "shape": "1,2", "data": [1, 2]},
        {"name": "a", "file": "path.npy"},
    ]
    with pytest.raises(InvalidFields) as caught:
        read_inputs(rows, MODEL)
    assert caught.value.errors == {
        "inputs.0.shape": ["Shape [1, 3] does not fit [-1, 2] (-1 is any size)."],
        "inputs.1.datatype": ["b is BYTES, not FP32."],
        "inputs.2.name": ["The model has no input named 'c'. It has: a, b."],
        "inputs.3.data": ["Give exactly one of: data, text, generate, file."],
        "inputs.4.data": ["Give exactly one of: data, text, generate, file."],
        "inputs.5.shape": ["Must be a list of whole numbers, such as [1, 64]."],
        "inputs.6.file": ["Choose a file. (The REST API takes `data` instead.)"],
    }


@pytest.mark.parametrize("rows", [None, "a", {"name": "a"}, [1]])
def test_inputs_that_are_no_list_of_objects_are_refused(rows: Any) -> None:
    with pytest.raises(InvalidFields, match="Must be a list of objects"):
        read_inputs(rows, MODEL)


@pytest.mark.parametrize("low", [10**400, "1", True, [0]])
def test_an_end_of_a_range_that_is_no_number_is_refused(low: object) -> None:
    row = {"name": "a", "datatype": "FP32", "shape": [1, 2], "generate": "random", "low": low}
    with pytest.raises(InvalidFields) as refused:
        read_inputs([row], MODEL)
    assert refused.value.errors == {"inputs.0.generate": ["`low` must be a number."]}


def test_a_long_number_keeps_its_size() -> None:
    digits = "1" + "0" * 150
    assert from_json(parse_text(digits, "x", "FP64"), "FP64", [-1], "x").tolist() == [1e150]
    with pytest.raises(BadValues, match="INT64"):
        from_json(parse_text(digits, "x", "INT64"), "INT64", [-1], "x")
