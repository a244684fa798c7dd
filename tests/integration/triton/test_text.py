"""Text beyond ASCII in Python and ONNX models, on the real Triton: printed, read, written, named, passed on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from services.engines.local import logs
from services.frameworks.triton import runtime
from services.frameworks.triton.describe import describe
from services.frameworks.triton.explain import explain
from services.frameworks.triton.launch import render
from tests.servers.triton import OpenTriton, RunningTriton, context_for, grpc_input, runtime_root, serve

pytestmark = pytest.mark.integration

TEXT = "déjà vu ☃ 日本 🎉"
CONFIG = """
backend: "python"
input [{ name: "text" data_type: TYPE_STRING dims: [1] }]
output [{ name: "seen" data_type: TYPE_STRING dims: [1] }]
"""
# The first line runs before Triton's own Python is loaded.
MODEL = f"""
print("loading {TEXT}")
import json, locale, os, subprocess, sys, threading
import numpy as np
import triton_python_backend_utils as pb_utils

HERE = os.path.dirname(__file__)

def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]

def written(path, text):
    with open(path, "w") as file:
        file.write(text)
    with open(path) as file:
        return file.read()

def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

def version(name):
    return __import__(name).VALUE

class TritonPythonModel:
    def initialize(self, args):
        print("initialize {TEXT}")
        print("stderr {TEXT}", file=sys.stderr)
        self.seen = {{
            "vocabulary": open(HERE + "/vocab.txt").read().splitlines(),
            "named": open(HERE + "/données/été ☃.txt").read(),
            "names": sorted(os.listdir(HERE + "/données")),
            "module": version("modèle"),
            "parameter": json.loads(args["model_config"])["parameters"]["MODEL_É"]["string_value"],
            "encodings": [
                sys.getfilesystemencoding(), sys.stdout.encoding, sys.stderr.encoding,
                locale.getpreferredencoding(False).lower(), "ascii" if os.fsencode("é") != b"\\xc3\\xa9" else "utf-8",
            ],
            "variable": os.environ["MODEL_NAME"], "bytes": os.environb[b"MODEL_NAME"].decode(),
        }}

    def execute(self, requests):
        responses = []
        for request in requests:
            text = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()[0].decode()
            if text.startswith("fail"):
                raise ValueError(text)
            print("execute " + text)
            in_thread(lambda: print("thread " + text))
            pb_utils.Logger.log_info("logger " + text)
            os.environ["SAID"] = text
            os.makedirs(os.environ["TMPDIR"] + "/données", exist_ok=True)
            seen = self.seen | {{
                "file": written(os.environ["TMPDIR"] + "/données/" + text, text),
                "thread": in_thread(lambda: written(os.environ["TMPDIR"] + "/é.txt", text)),
                "argument": output("printf", "%s", text),
                "inherited": output("sh", "-c", 'printf %s "$SAID"'),
                "python": output(sys.executable, "-c", "import sys; print(sys.argv[1], open(sys.argv[2]).read())",
                                 text, HERE + "/données/été ☃.txt"),
            }}
            value = np.array([json.dumps(seen).encode()], dtype=object)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("seen", value)]))
        return responses

    def finalize(self):
        print("finalize {TEXT}")
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("text") / "modèle été"
    (tree / "1" / "données").mkdir(parents=True)
    (tree / "config.pbtxt").write_text(
        CONFIG + 'parameters { key: "MODEL_É" value { string_value: "déjà" } }', encoding="utf-8"
    )
    (tree / "1" / "model.py").write_text(MODEL, encoding="utf-8")
    (tree / "1" / "modèle.py").write_text("VALUE = 'déjà'\n", encoding="utf-8")
    (tree / "1" / "vocab.txt").write_text("naïve\n☃\n日本\n", encoding="utf-8")
    (tree / "1" / "données" / "été ☃.txt").write_text("été", encoding="utf-8")
    return tree


@pytest.fixture(scope="module", params=["", "C"])
def triton(request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """With the console's own locale, and with one that a user names."""
    env = {"MODEL_NAME": TEXT} | ({"LC_ALL": request.param} if request.param else {})
    run_dir = tmp_path_factory.mktemp("run")
    with serve(context_for("text", tree, run_dir, runtime_root(), env=env)) as triton:
        yield triton


def ask(triton: RunningTriton, text: str) -> Any:
    tensor = grpc_input("text", np.array([text.encode()], dtype=object), "BYTES")
    with grpcclient.InferenceServerClient(triton.grpc) as client:
        return json.loads(client.infer("text", [tensor]).as_numpy("seen")[0])


def lines(triton: RunningTriton) -> list[str]:
    """The log as pages and API read it."""
    return logs.read(triton.log_path, None, 65536).text.splitlines()


def test_a_python_model_reads_names_and_passes_on_utf8(triton: RunningTriton) -> None:
    seen = ask(triton, TEXT)
    assert seen.pop("encodings") == ["utf-8"] * 5
    assert seen == {
        "vocabulary": ["naïve", "☃", "日本"],
        "named": "été",
        "names": ["été ☃.txt"],
        "module": "déjà",
        "parameter": "déjà",
        "variable": TEXT,
        "bytes": TEXT,
        "file": TEXT,
        "thread": TEXT,
        "argument": TEXT,
        "inherited": TEXT,
        "python": f"{TEXT} été",
    }


def test_what_it_prints_is_in_the_log_at_once(triton: RunningTriton) -> None:
    ask(triton, "Grüße")
    log_lines = lines(triton)
    for line in (f"loading {TEXT}", f"initialize {TEXT}", f"stderr {TEXT}", "execute Grüße", "thread Grüße"):
        assert line in log_lines
    assert any("logger Grüße" in line for line in log_lines)


def test_what_it_raises_reaches_the_client_and_its_last_words_the_log(triton: RunningTriton) -> None:
    """The last one of each server: it ends it."""
    with pytest.raises(Exception, match="fail über ☃"):
        ask(triton, "fail über ☃")
    assert triton.end() == 0
    assert f"finalize {TEXT}" in lines(triton)


def test_a_failed_start_is_explained_in_the_models_own_words(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "config.pbtxt").write_text(CONFIG)
    (tmp_path / "1" / "model.py").write_text(
        "class TritonPythonModel:\n    def initialize(self, args):\n        raise ValueError('été ☃ manque')\n", "utf-8"
    )
    context = context_for("text", tmp_path, tmp_path / "run", runtime_root())
    triton = RunningTriton.spawn(render(context), context.run_dir, context.listeners)
    assert triton.wait_until_ended() != 0
    place = "in 1/model.py line 3 (initialize)"
    assert explain(lines(triton)) == f"The model's Python code raised ValueError {place}: été ☃ manque."


GRAPH = """
import sys
import numpy as np
import onnx
from onnx import helper, numpy_helper

value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
weights = numpy_helper.from_array(np.arange(8, dtype=np.float32), "weights")
graph = helper.make_graph(
    [helper.make_node("Add", ["x", "weights"], ["y"]), helper.make_node("Identity", ["texte"], ["même"])], "été",
    [value("x", 1, [8]), value("texte", 8, [1])], [value("y", 1, [8]), value("même", 8, [1])], [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, sys.argv[1], save_as_external_data=True, location="données/poids ☃.bin", size_threshold=0)
"""


def test_an_onnx_model_and_its_weights_may_have_any_names(opened: OpenTriton, tmp_path: Path) -> None:
    tree = tmp_path / "modèle"
    (tree / "1" / "données").mkdir(parents=True)
    (tree / "config.pbtxt").write_text(
        'backend: "onnxruntime" default_model_filename: "réseau ☃.onnx"\n'
        'input [{ name: "x" data_type: TYPE_FP32 dims: [8] }, { name: "texte" data_type: TYPE_STRING dims: [1] }]\n'
        'output [{ name: "y" data_type: TYPE_FP32 dims: [8] }, { name: "même" data_type: TYPE_STRING dims: [1] }]\n',
        "utf-8",
    )
    python = runtime.locate(runtime_root()).python
    subprocess.run([python, "-c", GRAPH, tree / "1" / "réseau ☃.onnx"], cwd=tmp_path, check=True, timeout=60)
    assert describe(tree, {}).problems == ()
    x = grpc_input("x", np.ones(8, dtype=np.float32))
    text = grpc_input("texte", np.array([TEXT.encode()], dtype=object), "BYTES")
    with (
        opened.serve("reseau", tree) as triton,
        grpcclient.InferenceServerClient(triton.grpc) as client,
    ):
        result = client.infer("reseau", [x, text])
    assert result.as_numpy("y").tolist() == list(range(1, 9))
    assert [value.decode() for value in result.as_numpy("même")] == [TEXT]
