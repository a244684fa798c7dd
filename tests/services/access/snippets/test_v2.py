"""Snippets as text: quoting, keys, sizes. That they run is in tests/integration/panel/test_probe.py."""

from __future__ import annotations

import ast
import base64
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from services.access.doors import Address
from services.access.snippets.decode import SHOW
from services.access.snippets.python import NUMPY
from services.access.snippets.v1 import v1_snippets
from services.access.snippets.v2 import PASTED_BYTES, Snippets, grpc_json, snippets
from services.clients.inference.call import Input, Model, SequenceStep
from services.clients.inference.datatypes import DTYPES
from services.clients.inference.grpc import build
from services.clients.inference.kserve_v1 import example, fits_v1
from services.clients.inference.wire import json_request, raw_bytes
from services.specs import Tensor


def tensor(values: list[Any], datatype: str = "FP32", dtype: Any = "<f4", name: str = "x") -> Input:
    return Input(name, datatype, np.array(values, dtype=dtype))


def snippets_of(*inputs: Input, public: bool = False, **more: Any) -> Snippets:
    return snippets(Address("svc", "127.0.0.1:8080", public=public), inputs, **more)


def words_of(command: str) -> list[str]:
    """What a shell makes of the command's arguments; the key is a word of its own."""
    script = f'curl() {{ printf "%s\\0" "$@"; }}\n{command}'
    done = subprocess.run(["bash", "-euc", script], env={"API_KEY": "k"}, capture_output=True, timeout=10, check=True)
    return done.stdout.decode().split("\0")[:-1]


def test_curl_has_the_request_as_json_and_the_key_from_the_environment() -> None:
    words = words_of(snippets_of(tensor([[0.1, 2]]))["curl"])
    assert words[1] == "http://127.0.0.1:8080/v2/models/svc/infer"
    assert "authorization: Bearer k" in words
    body = json.loads(words[words.index("-d") + 1])
    assert body == {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.1, 2.0]}]}


@given(st.text(max_size=30), st.text(min_size=1, max_size=10))
def test_any_text_and_name_is_data_to_python_never_code(text: str, name: str) -> None:
    value = text.encode("utf-8", "surrogatepass")
    item = Input(name, "BYTES", np.array([value], dtype=object))
    tree = ast.parse(snippets_of(item)["python_grpc"])
    literals = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert name in literals and value in literals
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called == {
        "np.array",
        "np.array([]).reshape".replace("[]", f"[{value!r}], dtype=np.object_"),
        "inputs.append",
        "print",
        "inputs[-1].set_data_from_numpy",
        "triton.InferInput",
        "triton.InferenceServerClient",
        "client.infer",
        "result.get_response",
        "result.as_numpy",
    }


@pytest.mark.parametrize(
    "text",
    [
        "it's",
        '"; rm -rf /; "',
        "$(id) `id` $HOME",
        "a\nb",
        "\\",
        "é 漢 \U0001f600",
        "'\"'\"'",
    ],
)
def test_any_text_and_name_is_data_to_the_shell_never_code(text: str) -> None:
    item = Input(text, "BYTES", np.array([text.encode()], dtype=object))
    words = words_of(snippets_of(item)["curl"])
    row = json.loads(words[words.index("-d") + 1])["inputs"][0]
    assert (row["name"], row["data"]) == (text, [text])
    grpcurl = shlex.split(snippets_of(item)["grpcurl"], comments=True)
    request = json.loads(grpcurl[grpcurl.index("-d") + 1])
    assert base64.b64decode(request["inputs"][0]["contents"]["bytes_contents"][0]) == text.encode()


def test_large_values_are_not_pasted_and_the_snippet_says_so() -> None:
    text = Input("w", "BYTES", np.array([b"a"] * 3, dtype=object))
    result = snippets_of(Input("x", "FP32", np.ones((4 << 20,), dtype="<f4")), text)
    for snippet in result.values():
        assert len(snippet) < 2000
        assert "# The values are zeros of the same shape and type: 16,777,231 bytes are too many to paste." in snippet
    assert "np.zeros([4194304], dtype=np.float32)" in result["python_http"]
    assert "head -c 16777228 /dev/zero" in result["curl"], "an empty text is four bytes of length"


def test_values_are_pasted_up_to_the_limit() -> None:
    fits = Input("x", "UINT8", np.zeros(PASTED_BYTES, dtype="u1"))
    assert "/dev/zero" not in snippets_of(fits)["curl"]
    assert "/dev/zero" in snippets_of(Input("x", "UINT8", np.zeros(PASTED_BYTES + 1, dtype="u1")))["curl"]


@pytest.mark.parametrize(
    "item",
    [
        tensor([0.5], "FP16", "<f2"),
        tensor([0.5], "BF16", ml_dtypes.bfloat16),
        tensor([float("nan")]),
        tensor([b"\xff"], "BYTES", object),
    ],
    ids=["FP16", "BF16", "NaN", "bytes"],
)
def test_what_json_cannot_hold_travels_as_binary_tensors(item: Input) -> None:
    result = snippets_of(item)
    raw = raw_bytes(item.values)
    assert base64.b64encode(raw).decode() in result["curl"] and "Inference-Header-Content-Length" in result["curl"]
    assert "binary_data=False" not in result["python_http"]
    ast.parse(result["python_http"])


OUTPUTS = tuple(Tensor(name, datatype, (-1,)) for name, datatype in (("h", "FP16"), ("y", "FP32"), ("t", "BYTES")))


def test_outputs_that_json_cannot_hold_are_asked_for_in_binary() -> None:
    body = json_request([tensor([1])], OUTPUTS)
    assert body["outputs"] == [
        {"name": "h", "parameters": {"binary_data": True}},
        {"name": "y", "parameters": {"binary_data": False}},
        {"name": "t", "parameters": {"binary_data": True}},
    ]
    assert "outputs" not in json_request([tensor([1])], OUTPUTS[1:])
    result = snippets_of(tensor([1]), outputs=OUTPUTS)
    assert "--output answer.bin" in result["curl"] and "python3 - <<'END'" in result["curl"]
    assert "answer.bin" not in snippets_of(tensor([1]), outputs=OUTPUTS[1:])["curl"]
    ast.parse(SHOW.partition("\n")[2].removesuffix("END"))


@pytest.mark.parametrize("datatype", [*NUMPY])
def test_the_curl_snippet_shows_every_datatype(datatype: str, tmp_path: Path) -> None:
    values = [b"a", b"\xff"] if datatype == "BYTES" else [1, 0]
    raw = raw_bytes(np.array(values, DTYPES[datatype]))
    head = {
        "outputs": [
            {"name": "x", "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": len(raw)}},
            {"name": "é", "datatype": "FP32", "shape": [1], "data": [2.5]},
        ]
    }
    (tmp_path / "answer.bin").write_bytes(json.dumps(head, ensure_ascii=False).encode() + raw)
    done = subprocess.run(["bash", "-euc", SHOW], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True)
    shown = {"BOOL": "True False", "BYTES": r"b'a' b'\xff'"}.get(datatype, "1.0 0.0" if "F" in datatype else "1 0")
    assert done.stdout == f"x [2] {shown} \né [1] 2.5 \n"


def test_the_curl_snippet_shows_an_error(tmp_path: Path) -> None:
    (tmp_path / "answer.bin").write_text('{"error": "no such thing"}')
    done = subprocess.run(["bash", "-euc", SHOW], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and done.stderr == "no such thing\n"


@pytest.mark.parametrize("id", [7, "night-7"])
def test_a_sequence_is_named_in_each_language(id: int | str) -> None:
    step = SequenceStep(id, start=True, end=False)
    result = snippets_of(tensor([1]), step=step)
    large, stream = (
        snippets_of(tensor([0.0] * PASTED_BYTES), step=step),
        snippets_of(tensor([1]), step=step, decoupled=True),
    )
    assert f'"sequence_id": {json.dumps(id)}' in large["curl"]
    assert f"sequence_id={id!r}" in stream["python_grpc"]
    body = json.loads(words_of(result["curl"])[-1])
    assert body["parameters"] == {"sequence_id": id, "sequence_start": True, "sequence_end": False}
    for name in ("python_http", "python_grpc"):
        assert f"sequence_id={id!r}, sequence_start=True, sequence_end=False" in result[name]
    parsed = json_format.ParseDict(grpc_json("svc", [], SequenceStep(id)), service_pb2.ModelInferRequest())
    assert parsed == build("svc", (), SequenceStep(id))


LARGE = [
    [Tensor("x", "FP32", (-1, 3, 64, 64))],
    [Tensor('it\'s "x" \\ %s é', "UINT8", (1, 9000)), Tensor("b", "BYTES", (-1, 2))],
    [Tensor("x", "BOOL", (5000,)), Tensor("y", "INT8", (-1, 2))],
]


@pytest.mark.parametrize("inputs", LARGE, ids=["one", "two", "columns"])
def test_a_v1_example_too_long_to_paste_is_made_where_it_is_sent(inputs: list[Tensor]) -> None:
    model = Model("svc", tuple(inputs), OUTPUTS)
    result = v1_snippets(Address("svc", "127.0.0.1:8080", public=True), example(model), model)
    assert all(len(text) < 3000 for text in result.values())
    script = f"curl() {{ cat; }}\n{result['curl']}"
    done = subprocess.run(["bash", "-euc", script], capture_output=True, timeout=20, check=True)
    body = json.loads(done.stdout)
    namespace: dict[str, Any] = {}
    exec(result["python_v1"].partition("request =")[0], namespace)
    assert namespace["body"] == body
    ((key, columns),) = body.items()
    row = columns if key == "inputs" else columns[0]
    for tensor_ in inputs:
        values = row if len(inputs) == 1 else row[tensor_.name]
        expected_shape = [max(size, 1) for size in tensor_.shape][int(key == "instances") :]
        assert list(np.array(values).shape) == expected_shape


def test_a_model_takes_no_v1_example_that_the_gateway_or_the_bridge_refuses() -> None:
    def fits(*shape: int, datatype: str = "UINT8", most: int = 16 << 20) -> bool:
        return fits_v1(Model("svc", (Tensor("x", datatype, shape),), ()), most)

    assert fits(1, 300, 300, 3) and fits(-1, 64)
    assert not fits(1, 3000, 3000) and not fits(1, 3000, 1000, datatype="BOOL") and not fits(1, 1024, 1024, 1)


def test_nan_and_infinity_are_spelt_as_each_language_wants() -> None:
    item = tensor([float("nan"), float("-inf"), 1])
    assert 'float("nan"), float("-inf"), 1.0' in snippets_of(item)["python_grpc"]
    parsed = json_format.ParseDict(grpc_json("svc", [item]), service_pb2.ModelInferRequest())
    values = parsed.inputs[0].contents.fp32_contents
    assert np.isnan(values[0]) and values[1] == float("-inf")


@pytest.mark.parametrize(
    "item",
    [
        tensor([True, False], "BOOL", "?"),
        tensor([250], "UINT8", "u1"),
        tensor([-5], "INT16", "<i2"),
        tensor([2**63], "UINT64", "<u8"),
        tensor([-(2**62)], "INT64", "<i8"),
        tensor([1e300], "FP64", "<f8"),
        tensor([b"a\x00\xff"], "BYTES", object),
        tensor([0.5], "FP16", "<f2"),
    ],
    ids=lambda item: item.datatype,
)
def test_grpcurls_json_is_a_request_with_the_same_values(item: Input) -> None:
    grpcurl = shlex.split(snippets_of(item)["grpcurl"], comments=True)
    request = json_format.Parse(grpcurl[grpcurl.index("-d") + 1], service_pb2.ModelInferRequest())
    assert request.model_name == "svc" and list(request.inputs[0].shape) == list(item.shape)
    if item.datatype == "FP16":
        assert list(request.raw_input_contents) == [raw_bytes(item.values)]
    else:
        ((_, values),) = request.inputs[0].contents.ListFields()
        assert list(values) == item.values.tolist()


def test_a_decoupled_model_is_called_by_stream() -> None:
    result = snippets_of(tensor([1]), decoupled=True)
    assert list(result) == ["python_grpc", "grpcurl"], "nothing else carries a stream"
    assert "async_stream_infer('svc'" in result["python_grpc"] and "triton_final_response" in result["python_grpc"]
    assert result["grpcurl"].endswith("inference.GRPCInferenceService/ModelStreamInfer")
    ast.parse(result["python_grpc"])


def test_a_public_service_needs_no_key() -> None:
    for text in snippets_of(tensor([1]), public=True).values():
        assert "API_KEY" not in text and text.startswith("# This service is public")


def test_each_snippet_says_on_its_first_line_which_variable_it_needs() -> None:
    for text in snippets_of(tensor([1])).values():
        assert text.splitlines()[0] == "# Needs an API key: export API_KEY='isk_...'"
