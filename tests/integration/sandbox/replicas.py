"""The hostile replica: the attempts as a plain program, in a box or without, and as a Triton Python model."""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import tritonclient.grpc as grpcclient

from services.clients.probes import kserve_v2
from services.engines.local import LocalEngine
from services.errors import ProbeError
from services.frameworks.triton.launch import render
from services.listeners import WORKING_DIRECTORY, Address
from services.specs import Launch, LaunchContext, ReplicaSpec, Resources, ServiceSpec
from tests.integration.engine_home import wait_for
from tests.integration.sandbox.outside import ENVIRONMENT, SHELL_VARIABLES, Outside, python
from tests.servers.triton import runtime_root

Report = dict[str, dict[str, str]]
ATTEMPTS: Final = Path(__file__).with_name("attempts")
MODEL: Final = "hostile"
CONFIG: Final = """
backend: "python"
max_batch_size: 0
input [{ name: "GO", data_type: TYPE_INT32, dims: [ 1 ] }]
output [{ name: "REPORT", data_type: TYPE_STRING, dims: [ 1 ] }]
"""
MODEL_PY: Final = """
import json, os, sys
from pathlib import Path
import numpy as np
import triton_python_backend_utils as pb_utils

root = Path(os.path.realpath(__file__)).parent.parent
sys.path.insert(0, str(root))
from attempts import report

class TritonPythonModel:
    def execute(self, requests):
        text = json.dumps(report.report(root, plain=False))
        output = pb_utils.Tensor("REPORT", np.array([text], dtype=np.object_))
        return [pb_utils.InferenceResponse([output]) for _ in requests]
"""
SECONDS: Final = 90


@dataclass(frozen=True)
class Hostile:
    name: str
    report: Report
    mark: str
    """In the command of the process that wants to outlive the replica."""

    def got(self, name: str) -> str:
        return self.report[name]["got"]


def tree(outside: Outside, name: str, **more: Any) -> Path:
    """Model files with the attempts and what they try."""
    folder = outside.home.store / name
    shutil.copytree(ATTEMPTS, folder / "attempts", ignore=shutil.ignore_patterns("__pycache__"))
    mark = f"mark-{secrets.token_hex(8)}"
    targets = {**outside.targets, "name": name, "mark": mark, "variables": [*ENVIRONMENT, *SHELL_VARIABLES], **more}
    (folder / "targets.json").write_text(json.dumps(targets))
    return folder


def plain(outside: Outside, sandbox: str, name: str) -> Hostile:
    engine = outside.engine(sandbox)
    folder = tree(outside, name, boxed=sandbox != "off")
    site = engine.site(name, folder)
    launch = Launch((str(python()), "-B", str(site.models / "attempts")), ENVIRONMENT)
    run_dir = outside.home.replicas / name
    engine.apply(ReplicaSpec(name, run_dir, launch, folder, runtime_root(), start_seconds=1))
    written = run_dir / "report.json"
    try:
        wait_for(written.exists, bool, SECONDS)
    except AssertionError:
        raise AssertionError(engine.logs(name).text) from None
    report = json.loads(written.read_text())
    return Hostile(name, report["attempts"], report["mark"])


def triton(outside: Outside, sandbox: str, name: str) -> Hostile:
    """Started as the product does, and its report is what it answers at its gRPC socket."""
    engine = outside.engine(sandbox)
    folder = tree(outside, name, boxed=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1").mkdir()
    (folder / "1" / "model.py").write_text(MODEL_PY)
    launch = rendered(outside, engine, name, folder)
    listed = [*ENVIRONMENT, *SHELL_VARIABLES, *launch.env]
    (folder / "targets.json").write_text(
        json.dumps({**json.loads((folder / "targets.json").read_text()), "variables": listed})
    )
    run_dir = outside.home.replicas / name
    engine.apply(ReplicaSpec(name, run_dir, launch, folder, runtime_root()))
    listeners = engine.listeners(name)
    try:
        wait_for(lambda: _is_ready(listeners.http), bool, SECONDS)
    except AssertionError:
        raise AssertionError(engine.logs(name).text) from None
    go = grpcclient.InferInput("GO", [1], "INT32")
    go.set_data_from_numpy(np.array([1], dtype=np.int32))
    with grpcclient.InferenceServerClient(listeners.grpc.target) as client:
        answer = client.infer(MODEL, [go], client_timeout=SECONDS)
    report = json.loads(answer.as_numpy("REPORT")[0])
    return Hostile(name, report["attempts"], report["mark"])


def rendered(outside: Outside, engine: LocalEngine, name: str, folder: Path) -> Launch:
    site = engine.site(name, folder)
    resources = Resources(memory_gib=0.5)
    spec = replace(ServiceSpec("triton", "hostile"), resources=resources)
    return render(LaunchContext(MODEL, folder, spec, runtime_root(), site.models, site.run_dir, WORKING_DIRECTORY))


def _is_ready(address: Address) -> bool:
    try:
        return kserve_v2.get(address, f"/v2/models/{MODEL}/ready", 2)[0] == 200
    except ProbeError:
        return False
