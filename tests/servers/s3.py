"""Starts the real SeaweedFS, an S3 server, for tests: the fixtures `s3_server` and `bucket` (see conftest.py).

Everything it owns is in a folder of its own; every port is free, on loopback; it sends nothing anywhere.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import boto3
from botocore.config import Config

from tests.ports import free_ports

START_SECONDS = 60
PART = 5 << 20
"""The smallest part of a multipart upload, in bytes; only the last one may be smaller."""


@dataclass(frozen=True)
class Server:
    """`everything` is the identity that may do all; `lister` may list buckets named like `bucket(...)` and read none.

    Whoever gives no keys may read buckets whose name starts with `open-`.
    """

    port: int
    tls_port: int
    running: list[subprocess.Popen[bytes]] = field(repr=False)
    """All that were started for it; only the last one may be alive."""
    log_path: Path
    everything: tuple[str, str]
    lister: tuple[str, str]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.running[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=20)

    def start_again(self) -> None:
        """At the same ports, with what it had; returns when it answers."""
        home = self.log_path.parent
        with self.log_path.open("ab") as log:
            self.running.append(_start(cast("list[str]", self.process.args), home, log))
        _wait(self)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        """A boto3 client, to put things there."""
        key, secret = self.everything
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(
                s3={"addressing_style": "path"},
                proxies={},
                request_checksum_calculation="when_required",
            ),
        )

    def bucket(self, *, versioned: bool = False, public: bool = False) -> Bucket:
        name = f"{'open-' if public else 'models-'}{secrets.token_hex(6)}"
        client = self.client()
        client.create_bucket(Bucket=name)
        if versioned:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return Bucket(self, name, client)


@dataclass
class Bucket:
    server: Server
    name: str
    client: Any = field(repr=False)

    @property
    def options(self) -> dict[str, str]:
        """What a dataset of this bucket is made with."""
        key, secret = self.server.everything
        return {
            "bucket": self.name,
            "endpoint": self.server.endpoint,
            "access_key": key,
            "secret_key": secret,
        }

    def put(self, key: str, content: bytes, **more: Any) -> str:
        """Returns the version of the object, "" in a bucket without versions."""
        return str(self.client.put_object(Bucket=self.name, Key=key, Body=content, **more).get("VersionId", ""))

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        for key, content in contents.items():
            self.put(key, content)

    def put_with_sha256(self, key: str, content: bytes) -> None:
        self.put(key, content, ChecksumSHA256=b64encode(hashlib.sha256(content).digest()).decode())

    def put_parts(self, key: str, parts: Iterable[bytes], *, checksum: str = "") -> None:
        """A multipart upload. All but the last must have PART bytes or more. `checksum`, such as CRC64NVME: of all."""
        where = {"Bucket": self.name, "Key": key}
        each = {"ChecksumAlgorithm": checksum} if checksum else {}
        whole = {**each, "ChecksumType": "FULL_OBJECT"} if checksum else {}
        upload = self.client.create_multipart_upload(**where, **whole)["UploadId"]
        tags = []
        for number, part in enumerate(parts, start=1):
            answer = self.client.upload_part(**where, UploadId=upload, PartNumber=number, Body=part, **each)
            tags.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": tags})

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)


@contextmanager
def start_s3(certificate: tuple[Path, Path] | None = None) -> Iterator[Server]:
    """Started, answering, and ended with the block. `certificate` (its file, its key's) opens a TLS port as well."""
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="s3-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        everything, lister = _new_keys(), _new_keys()
        config = home / "identities.json"
        config.write_text(json.dumps(_identities(everything, lister)))
        names = ["master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc", "https"]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        (home / "data").mkdir()
        log = stack.enter_context((home / "log").open("ab"))
        running = [_start([*_argv(home, config, ports), *_tls(certificate, ports)], home, log)]
        stack.callback(_end, running, ports)
        server = Server(ports["s3"], ports["https"], running, home / "log", everything, lister)
        _wait(server)
        yield server


def _start(argv: list[str], home: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(home)},
    )


def _argv(home: Path, config: Path, ports: Mapping[str, int]) -> list[str]:
    return [
        str(Path(sys.executable).parent / "weed"),
        "-logtostderr=true",
        "server",
        f"-dir={home / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.electionTimeout=1s",
        # Each bucket has volumes of its own, which take no space before something is in them.
        "-volume.max=100000",
        "-master.volumeSizeLimitMB=256",
        "-filer",
        "-s3",
        f"-s3.config={config}",
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-filer.localSocket={home / 'filer.sock'}",
        f"-s3.localSocket={home / 's3.sock'}",
        *(
            f"-{name}={ports[_dotted(name)]}"
            for name in (
                "master.port",
                "master.port.grpc",
                "volume.port",
                "volume.port.grpc",
                "filer.port",
                "filer.port.grpc",
                "s3.port",
                "s3.port.grpc",
            )
        ),
    ]


def _dotted(option: str) -> str:
    return option.replace(".port", "")


def _tls(certificate: tuple[Path, Path] | None, ports: Mapping[str, int]) -> list[str]:
    if certificate is None:
        return []
    return [f"-s3.port.https={ports['https']}", f"-s3.cert.file={certificate[0]}", f"-s3.key.file={certificate[1]}"]


def _identities(everything: tuple[str, str], lister: tuple[str, str]) -> dict[str, Any]:
    def identity(name: str, keys: tuple[str, str] | None, *actions: str) -> dict[str, Any]:
        credentials = [{"accessKey": keys[0], "secretKey": keys[1]}] if keys else []
        return {"name": name, "credentials": credentials, "actions": list(actions)}

    return {
        "identities": [
            identity("everything", everything, "Admin", "Read", "Write", "List", "Tagging"),
            identity("lister", lister, "List:models-*"),
            identity("anonymous", None, "Read:open-*", "List:open-*"),
        ]
    }


def _new_keys() -> tuple[str, str]:
    return secrets.token_hex(10).upper(), secrets.token_urlsafe(30)


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = server.process.poll() is not None
        try:
            with urllib.request.urlopen(f"{server.endpoint}/healthz", timeout=2):
                break
        except urllib.error.HTTPError:
            break
        except OSError:
            if ended:
                raise AssertionError(f"SeaweedFS ended:\n{server.log_path.read_text()[-4000:]}") from None
            time.sleep(0.1)
    else:
        raise AssertionError(f"SeaweedFS was not ready in {START_SECONDS} s:\n{server.log_path.read_text()[-4000:]}")
    # It answers before there is a volume to write to.
    bucket = server.bucket()
    while True:
        try:
            bucket.put("ready", b"ready")
            return
        except bucket.client.exceptions.ClientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _end(running: list[subprocess.Popen[bytes]], ports: Mapping[str, int]) -> None:
    # What it holds is thrown away, and an orderly end would take it 20 s. Its sockets in /tmp cannot be put elsewhere.
    for process in running:
        process.kill()
        process.wait(timeout=20)
    for path in Path("/tmp").glob("seaweedfs-*.sock"):
        if any(path.name.endswith(f"-{port}.sock") for port in ports.values()):
            path.unlink(missing_ok=True)
