"""What an editor can have run, with the real Triton: a model gets its own variables, untrusted code is not started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.live import Live
from tests.services.frameworks.triton.onnx_files import write_digits

CONFIG = """backend: "python"
input [{ name: "NAME" data_type: TYPE_STRING dims: [1] }]
output [{ name: "VALUE" data_type: TYPE_STRING dims: [1] }]
"""
READS = """import os
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        names = [pb_utils.get_input_tensor_by_name(request, "NAME").as_numpy()[0].decode() for request in requests]
        values = [np.array([os.environ.get(name, "").encode()], dtype=object) for name in names]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("VALUE", value)]) for value in values]
"""
ATTACK = {"OPENSSL_CONF": "repository/digits/1/settings.txt", "OPENSSL_MODULES": "repository/digits/1"}


@pytest.fixture
def models(live: Live) -> Iterator[Path]:
    """The folder of the dataset `own`, which nobody trusts: a graph, and a program that tells its variables."""
    root = live.stack.datasets / "own"
    program(root / "reads")
    write_digits(root / "digits" / "1" / "model.onnx")
    body = {"name": "own", "kind": "local", "options": {"path": str(root)}, "team": "default"}
    assert live.api("datasets/", body, method="POST").status == 201
    yield root
    live.api("datasets/own/", method="DELETE")


def program(folder: Path, code: str = READS) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text(code)


def refused(live: Live, model_path: str, **changes: Any) -> dict[str, Any]:
    body = {"name": "digits", "framework": "triton", "dataset": "own", "model_path": model_path, **changes}
    answer = live.api("services/", body, method="POST")
    assert answer.status == 400, answer.body
    errors: dict[str, Any] = answer.body["errors"]
    return errors


def variable_of(live: Live, name: str) -> str:
    tensor = {"name": "NAME", "datatype": "BYTES", "shape": [1], "data": [name]}
    answer = live.infer("reads", {"inputs": [tensor]})
    assert answer.status == 200, answer.body
    return str(answer.body["outputs"][0]["data"][0])


def test_only_what_was_trusted_runs_and_the_models_own_variables_reach_it(live: Live, models: Path) -> None:
    assert set(refused(live, "digits", env=ATTACK)) == {"env.OPENSSL_CONF", "env.OPENSSL_MODULES"}
    (models / "digits" / "1" / "notes.dat").write_bytes(b"\x7fELF\x02\x01\x01")
    assert "notes.dat: A compiled library" in refused(live, "digits")["model_path"][0]
    assert "is not trusted" in refused(live, "reads")["model_path"][0]

    digest = live.api("datasets/own/").body["digest"]
    assert live.api("datasets/own/trust/", {"trusted": True, "digest": digest}, method="POST").status == 200
    env = {"MODEL_WORD": "own", "GREETING": "trusted", "OMP_NUM_THREADS": "1"}
    live.create("reads", "reads", dataset="own", team="default", env=env)
    try:
        live.wait("reads")
        assert [variable_of(live, name) for name in env] == list(env.values())

        other = live.stack.datasets / "other"
        program(other / "reads", READS.replace("execute", "execute_evil"))
        assert live.api("datasets/own/", {"options": {"path": str(other)}}, method="PATCH").status == 200
        assert live.api("services/reads/restart/", method="POST").status == 202
        failed = lambda: live.api("services/reads/revisions/").body["results"][0]["failed"]  # noqa: E731
        live.until(failed, lambda why: "is not trusted" in why)
        assert variable_of(live, "MODEL_WORD") == "own"
    finally:
        live.delete("reads")
