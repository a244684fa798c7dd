"""The reason of a failed start, from logs recorded from real failing starts of Triton 2.51 without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.frameworks.triton.explain import explain

LOGS = Path(__file__).parent / "testdata" / "logs"
EXPECTED = {
    "backend": "The model needs the Triton backend pytorch, which this runtime does not have.",
    "badconfig": 'config.pbtxt is broken at line 17, column 12: Message type "inference.ModelConfig" has no field '
    'named "wrong_field".',
    "ensembletypes": "Triton refused the ensemble: in ensemble digits, ensemble tensor t1: inconsistent data type: "
    "TYPE_FP32 is inferred from model neg while TYPE_INT32 is inferred from model add.",
    "exits": "The model's Python process ended while it was loading: it called exit, crashed, or ran out of memory.",
    "gpu": "The model asks for a GPU and Triton finds none that it can use on this node.",
    "import": "The model's Python code needs the package torch, which the Triton runtime does not have.",
    "loadmodel": "digits: The model cannot be loaded: pb_utils.load_model is not there: a service loads all models of "
    "its folder when it starts, and no others.",
    "missingdata": "The model's Python code raised FileNotFoundError in 1/model.py line 4 (initialize): [Errno 2] No "
    "such file or directory: '/run/repository/digits/1/weights.bin'.",
    "noclass": "The model's model.py defines no class TritonPythonModel.",
    "nofile": "The model has no version folder that Triton can load.",
    "nolib": "The Triton runtime cannot run on this machine: the library libcudart-09529672.so.12.6.77 is missing. "
    "Run `make runtime-triton`.",
    "onnxbad": "onnxruntime cannot load the model: Protobuf parsing failed.",
    "onnxnames": "The model cannot be loaded: the ONNX graph has no input named IN; it has predict.",
    "port-grpc": "The GRPC port 127.0.0.1:35843 is in use by another process.",
    "port-http": "The HTTP port 127.0.0.1:35843 is in use by another process.",
    "raises": "The model's Python code raised ValueError in 1/model.py line 6 (load): the weights are for 10 classes, "
    "not 12.",
    "shm": "There is not enough shared memory in /dev/shm: 99999999999 bytes were asked for. Free some, or run fewer "
    "instances.",
    "stepraises": "add: The model's Python code raised ValueError in 1/model.py line 3 (initialize): the vocabulary is "
    "empty.",
    "syntax": "The model's Python code has a syntax error in model.py line 3: expected ':'.",
    "wrongname": "Triton refused config.pbtxt: unexpected directory name 'digits' for model 'other', directory name "
    "must equal model name.",
}


def test_every_recorded_log_is_expected() -> None:
    assert {path.stem for path in LOGS.glob("*.txt")} == set(EXPECTED) | {"healthy"}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_failed_start_is_explained_in_one_sentence(name: str) -> None:
    assert explain((LOGS / f"{name}.txt").read_text().splitlines()) == EXPECTED[name]


def test_the_harmless_errors_of_a_machine_without_gpu_explain_nothing() -> None:
    assert explain((LOGS / "healthy.txt").read_text().splitlines()) == ""
    assert explain([]) == ""


def test_the_latest_of_several_failures_counts() -> None:
    line = "E1120 10:00:29 1 model_lifecycle.cc:642] \"failed to load 'm' version 1: Internal: {}\""
    taken = "E1120 10:00:29 1 main.cc:245] \"failed to start GRPC service: Unavailable - Socket '1:2' already in use \""
    loads = [line.format("ValueError: first"), line.format("KeyError: 'second'")]
    log = [taken, *loads, "error: creating server: Internal - failed to load all models"]
    assert explain(log) == "The model's Python code raised KeyError: 'second'."


def test_an_error_of_another_kind_is_passed_on_as_triton_says_it() -> None:
    line = "E1120 10:00:29 1 x.cc] \"failed to load 'm' version 2: Invalid argument: model input must specify 'dims'\""
    assert explain([line]) == "Triton could not load the model: model input must specify 'dims'."
