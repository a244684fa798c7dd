"""Readiness and metadata of a V2 server, against servers that are wrong somehow. The real one: tests/integration."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.clients.probes import kserve_v2
from services.clients.probes.exchange import ProbeResult
from services.errors import ProbeError
from services.listeners import Address
from tests.services.clients.probes.raw_server import HOST, body, serving

READY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture
def server() -> Iterator[Callable[..., Address]]:
    with serving() as start:
        yield start


METADATA = (
    '{"name": "digits", "versions": ["1"], "platform": "python", '
    '"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}], "outputs": []}'
)


def test_a_replica_that_answers_for_its_model_is_ready(server: Callable[..., Address]) -> None:
    address = server(READY, body(METADATA))
    assert kserve_v2.probe(address, "digits") == kserve_v2.ProbeResult(True, "")


def test_metadata_becomes_plain_values(server: Callable[..., Address]) -> None:
    metadata = kserve_v2.model_metadata(server(body(METADATA)), "digits")
    assert (metadata.name, metadata.versions, metadata.platform, metadata.outputs) == ("digits", ("1",), "python", ())
    assert metadata.inputs == (kserve_v2.Tensor("x", "FP32", (-1, 64)),)


def test_a_closed_port_is_not_ready_and_says_so(server: Callable[..., Address]) -> None:
    with socket.create_server((HOST, 0)) as listener:
        address = Address(host=HOST, port=listener.getsockname()[1])
    assert kserve_v2.probe(address, "digits") == ProbeResult(False, f"{address} is closed.", listening=False)


def test_a_server_that_hangs_is_given_up_after_the_timeout(server: Callable[..., Address]) -> None:
    assert "did not answer within 0.1 s" in kserve_v2.probe(server(None), "digits", timeout=0.1).message


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((body("", "503 Service Unavailable"),), "still loading the model"),
        ((b"SSH-2.0-OpenSSH\r\n",), "does not speak the V2 protocol"),
        ((b"",), "does not speak the V2 protocol"),
        ((READY, body("<html>")), "does not speak the V2 protocol"),
        ((READY, body("[]")), "does not speak the V2 protocol"),
        ((READY, body('{"name": "x", "inputs": [{"name": 1}]}')), "does not speak the V2 protocol"),
        ((READY, body(METADATA.replace("digits", "cats"))), "answers for the model cats, not for digits"),
        ((READY, body('{"error": "unknown model"}', "404 Not Found")), "refused: unknown model."),
    ],
)
def test_a_wrong_answer_is_not_ready_and_never_raises(
    server: Callable[..., Address], answers: tuple[bytes, ...], message: str
) -> None:
    result = kserve_v2.probe(server(*answers), "digits", timeout=1)
    assert not result.ready
    assert message in result.message


def test_metadata_of_a_model_that_is_not_there_raises(server: Callable[..., Address]) -> None:
    with pytest.raises(ProbeError, match="refused: unknown model"):
        kserve_v2.model_metadata(server(body('{"error": "unknown model"}', "400 Bad Request")), "digits")


def test_many_threads_leave_no_open_files(server: Callable[..., Address]) -> None:
    """tritonclient.http would leave two in each: the web process answers in ever new threads."""
    with socket.create_server((HOST, 0)) as listener:
        address = Address(host=HOST, port=listener.getsockname()[1])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        thread = threading.Thread(target=kserve_v2.probe, args=(address, "digits"))
        thread.start()
        thread.join()
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 20
