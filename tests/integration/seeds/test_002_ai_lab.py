"""Seed 002, AI Lab: a service with an authentication header and parameters of its own; raw tensors as octet-stream."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.first_run import example
from tests.clients import call
from tests.integration.live import Live

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live")]
MODEL = "chatglm2-6b"
"""The document's name; the digits answer under it."""
PIXELS = [float(pixel) for pixel in example.PIXELS]


@pytest.fixture(scope="module")
def lab(live: Live) -> Iterator[Live]:
    auth = {"policy": "api_key", "header": "x-lab-token", "parameters": [{"name": "x-lab-project", "value": "digits"}]}
    live.create(MODEL, "mnist-onnx", auth=auth)
    live.create("lab-open", "mnist-onnx", auth={"policy": "public"})
    live.wait(MODEL)
    live.wait("lab-open")
    yield live
    live.delete(MODEL, "lab-open")


def curl(live: Live, folder: Path, *headers: str, model: str = MODEL) -> tuple[int, dict[str, Any]]:
    """The document's line: `--data-binary @input_data` with the raw bytes of the tensor."""
    (folder / "input_data").write_bytes(struct.pack("<64f", *PIXELS))
    line = ["curl", "-sS", "-X", "POST", f"{live.gateway}/v2/models/{model}/infer", "-w", "\n%{http_code}"]
    sent = [word for header in ("Content-Type: application/octet-stream", *headers) for word in ("-H", header)]
    done = subprocess.run(
        [*line, *sent, "--data-binary", "@input_data"], capture_output=True, check=True, timeout=30, cwd=folder
    )
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), json.JSONDecoder().raw_decode(body.decode("latin-1"))[0] | {"raw": body}


def test_raw_bytes_are_a_tensor(lab: Live, tmp_path: Path) -> None:
    status, answer = curl(lab, tmp_path, f"X-Lab-Token: {lab.key}", "X-Lab-Project: digits")
    assert status == 200, answer
    # Raw bytes are answered by raw bytes: a JSON header, and the tensors in its order behind it.
    sizes = {output["name"]: output["parameters"]["binary_data_size"] for output in answer["outputs"]}
    at = len(answer["raw"]) - sum(sizes.values())
    raw = {}
    for name, size in sizes.items():
        raw[name], at = answer["raw"][at : at + size], at + size
    assert struct.unpack("<q", raw["label"]) == (8,)


def test_the_key_passes_in_the_usual_header_too(lab: Live, tmp_path: Path) -> None:
    assert curl(lab, tmp_path, f"X-API-Key: {lab.key}", "X-Lab-Project: digits")[0] == 200


@pytest.mark.parametrize("headers", [[], ["X-Lab-Project: letters"]], ids=["missing", "other"])
def test_a_parameter_that_is_missing_or_wrong_refuses(lab: Live, tmp_path: Path, headers: list[str]) -> None:
    status, answer = curl(lab, tmp_path, f"X-Lab-Token: {lab.key}", *headers)
    assert status == 401
    assert "x-lab-project" in str(answer["error"])


def test_the_key_in_no_header_or_in_another_services_header_refuses(lab: Live, tmp_path: Path) -> None:
    assert curl(lab, tmp_path, "X-Lab-Project: digits")[0] == 401
    assert curl(lab, tmp_path, f"X-Other-Token: {lab.key}", "X-Lab-Project: digits")[0] == 401


def test_a_public_service_asks_for_nothing(lab: Live, tmp_path: Path) -> None:
    assert curl(lab, tmp_path, model="lab-open")[0] == 200


def test_the_grpc_example_runs_mended(lab: Live) -> None:
    """The document's imports do not exist and its input class is not the client's; what it means does run."""
    reply = call(
        "triton_grpc",
        target=lab.grpc_target,
        model=MODEL,
        input="predict",
        output="label",
        data=[PIXELS],
        headers={"x-lab-token": lab.key, "x-lab-project": "digits"},
        dtype="float32",
        datatype="FP32",
        stream=False,
        **{"asyncio": False},
    )
    assert reply == {"values": [[8]]}
