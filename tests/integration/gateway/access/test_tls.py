"""TLS at the gateway, with clients that check certificates: curl, gRPC, Python's ssl."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from services.errors import GatewayError
from services.gateway.envoy.tls import Tls, refresh
from services.gateway.snapshot import Snapshot
from tests.integration.gateway.stage import infer_request
from tests.servers.gateway.rig import Backend, Gateway, until
from tests.services.gateway import pki, snapshots

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"
KEY = (("x-api-key", snapshots.TEAM),)


@dataclass
class Secured:
    gateway: Gateway
    tls: Tls
    authority: pki.Pair
    folder: Path

    def curl(self, *arguments: str) -> str:
        """Status and HTTP version of one inference, as curl tells them; the error number of curl when it fails."""
        done = subprocess.run(
            (
                "curl",
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{http_version}",
                "-m",
                "10",
                *arguments,
                "-H",
                f"X-API-Key: {snapshots.TEAM}",
                "-d",
                "{}",
                f"https://localhost:{self.gateway.port}{INFER}",
            ),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return done.stdout if done.returncode == 0 else f"curl {done.returncode}"

    def trusting(self) -> tuple[str, ...]:
        return ("--cacert", str(self.authority.certificate))

    def served_name(self) -> str:
        """The common name of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        with (
            socket.create_connection(("127.0.0.1", self.gateway.port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            certificate = secured.getpeercert() or {}
        return str(dict(pair[0] for pair in certificate["subject"])["commonName"])  # type: ignore[misc,index]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Secured]]:
    with ExitStack() as stack:

        def started(*, client_ca: bool = False) -> Secured:
            folder = tmp_path / "pki"
            authority = pki.authority(folder)
            pair = pki.issue(authority, folder, "first")
            tls = Tls(pair.certificate, pair.key, authority.certificate if client_ca else None)
            backend = stack.enter_context(Backend.borrow("one"))
            snapshot = Snapshot(services=(snapshots.ready("mnist", backend.endpoint),), keys=snapshots.KEYS)
            # It is asked in plain HTTP whether it is ready: a caller on this machine may.
            gateway = stack.enter_context(Gateway.started(tmp_path / "g", snapshot, tls=tls))
            until(lambda: gateway.call("POST", INFER, b"{}", X_API_Key=snapshots.TEAM).status == 200)
            return Secured(gateway, tls, authority, folder)

        yield started


def test_rest_over_both_versions_of_http_and_grpc_are_encrypted(start: Callable[..., Secured]) -> None:
    secured = start()
    assert secured.curl(*secured.trusting(), "--http1.1") == "200 1.1"
    assert secured.curl(*secured.trusting(), "--http2") == "200 2"
    assert secured.curl(*secured.trusting(), "--tls-max", "1.1") == "curl 35"
    assert secured.curl() == "curl 60", "a client that does not know the authority must not trust it"
    credentials = grpc.ssl_channel_credentials(secured.authority.certificate.read_bytes())
    with grpc.secure_channel(f"localhost:{secured.gateway.port}", credentials) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(infer_request("mnist"), metadata=KEY, timeout=10).model_version == "one"
        assert len(list(stub.ModelStreamInfer(iter([infer_request("mnist")]), metadata=KEY, timeout=10))) == 4


def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(start: Callable[..., Secured]) -> None:
    secured = start(client_ca=True)
    client_pair = pki.issue(secured.authority, secured.folder, "client")
    stranger = pki.authority(secured.folder, "stranger")
    assert secured.curl(*secured.trusting()).startswith("curl")
    assert secured.curl(
        *secured.trusting(), "--cert", str(stranger.certificate), "--key", str(stranger.key)
    ).startswith("curl")
    accepted = ("--cert", str(client_pair.certificate), "--key", str(client_pair.key))
    assert secured.curl(*secured.trusting(), *accepted) == "200 2"
    root, key, chain = (
        path.read_bytes() for path in (secured.authority.certificate, client_pair.key, client_pair.certificate)
    )
    for credentials, answered in (
        (grpc.ssl_channel_credentials(root), False),
        (grpc.ssl_channel_credentials(root, key, chain), True),
    ):
        with grpc.secure_channel(f"localhost:{secured.gateway.port}", credentials) as channel:
            call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            if answered:
                assert call(infer_request("mnist"), metadata=KEY, timeout=10).model_version == "one"
            else:
                with pytest.raises(grpc.RpcError):
                    call(infer_request("mnist"), metadata=KEY, timeout=5)


def test_a_certificate_is_replaced_under_load_without_a_failed_request(start: Callable[..., Secured]) -> None:
    secured = start()
    assert secured.served_name() == "first"
    context = ssl.create_default_context(cafile=str(secured.authority.certificate))
    failures: list[str] = []
    answered: list[int] = []
    stop = threading.Event()

    def ask(*, again: bool) -> None:
        """On one connection, or on a new one each time."""
        connection = http.client.HTTPSConnection("localhost", secured.gateway.port, timeout=10, context=context)
        while not stop.is_set():
            try:
                connection.request("POST", INFER, b"{}", {"X-API-Key": snapshots.TEAM})
                response = connection.getresponse()
                response.read()
                answered.append(response.status)
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
            if again:
                connection.close()
        connection.close()

    callers = [threading.Thread(target=ask, kwargs={"again": again}) for again in (False, True)]
    try:
        for caller in callers:
            caller.start()
        for name in ("second", "third"):
            pair = pki.issue(secured.authority, secured.folder, name)
            shutil.copy(pair.key, secured.tls.key)  # in place, and one after the other: half a replacement
            with pytest.raises(GatewayError, match="cannot be used together"):
                refresh(secured.tls, secured.gateway.directory)
            assert secured.served_name() != name
            shutil.copy(pair.certificate, secured.tls.certificate)
            assert refresh(secured.tls, secured.gateway.directory)
            until(lambda name=name: secured.served_name() == name)  # type: ignore[misc]
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    assert failures == []
    assert set(answered) == {200}


def test_a_broken_replacement_keeps_the_last_good_certificate_over_a_restart(start: Callable[..., Secured]) -> None:
    secured = start()
    secured.tls.certificate.write_text("no certificate at all")
    with pytest.raises(GatewayError, match="cannot be used together"):
        refresh(secured.tls, secured.gateway.directory)
    secured.tls.key.unlink()
    with pytest.raises(GatewayError, match=r"GATEWAY_TLS_KEY names .* cannot be read"):
        refresh(secured.tls, secured.gateway.directory)
    assert secured.served_name() == "first"
    secured.gateway.kill()
    secured.gateway.run()
    assert secured.served_name() == "first"
