"""A server that answers byte for byte what a test says, also what no honest server would."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[str, socket.socket], bool | None]
"""Gets the head of a request and the connection; True keeps the connection open for the next one."""


@dataclass
class Wire:
    port: int
    scheme: str = "http"
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: an answer that waits waits for this."""

    def url(self, target: str = "/file") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{target}"

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"


def reply(body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def always(*parts: bytes, keep: bool = True) -> Answer:
    def answer(_: str, connection: socket.socket) -> bool:
        connection.sendall(b"".join(parts))
        return keep

    return answer


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Wire]:
    """The server on a free port of 127.0.0.1, with a thread for each connection; all end with the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(listener.getsockname()[1], "https" if tls else "http")
        opened: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def talk(connection: socket.socket) -> None:
            with suppress(OSError), connection:
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                    opened.append(connection)
                with connection:
                    while (head := _head(connection)) is not None:
                        wire.requests.append(head)
                        if not answer(head, connection):
                            return

        def accept() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                wire.connections += 1
                opened.append(connection)
                threads.append(threading.Thread(target=talk, args=(connection,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield wire
        finally:
            wire.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in opened:
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)
            assert not any(thread.is_alive() for thread in threads)


def _head(connection: socket.socket) -> str | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (got := connection.recv(1)):
            return None
        head += got
        if head == b"\x16":  # somebody tries TLS
            return ""
    return head.decode()


def certificate(folder: Path, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server's context for `name`, an address or a host, and the file with its certificate, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    signed_certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(signed_certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


def holding(
    files: dict[str, bytes],
    *,
    ranges: bool = True,
    etags: bool = True,
    dates: bool = False,
    head: bool = True,
    extra: dict[str, tuple[str, ...]] | None = None,
) -> Answer:
    """An honest server: `files` by target, which may change while it runs. `extra` are more headers for a target."""

    def answer(request: str, connection: socket.socket) -> bool:
        method, target, _ = request.split("\r\n")[0].split(" ")
        fields = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if ": " in line)
        content = files.get(target)
        if content is None:
            connection.sendall(reply(b"" if method == "HEAD" else b"none", status="404 Not Found", length=4))
            return True
        if method == "HEAD" and not head:
            connection.sendall(reply(status="405 Method Not Allowed", length=0))
            return True
        headers = list((extra or {}).get(target, ()))
        tag = f'"{zlib.crc32(content):08x}"'
        if etags:
            headers.append(f"ETag: {tag}")
        if dates:
            headers.append("Last-Modified: Wed, 01 Jul 2026 10:00:00 GMT")
        if fields.get("If-Match", tag) != tag:
            connection.sendall(reply(status="412 Precondition Failed"))
            return True
        status, body = "200 OK", content
        if ranges and (asked_range := fields.get("Range")):
            first, _, last = asked_range.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last or len(content)) + 1, len(content))
            if begin >= len(content):
                connection.sendall(reply(b"", f"Content-Range: bytes */{len(content)}", status="416 No"))
                return True
            status, body = "206 Partial Content", content[begin:end]
            headers.append(f"Content-Range: bytes {begin}-{end - 1}/{len(content)}")
        sent = reply(b"" if method == "HEAD" else body, *headers, status=status, length=len(body))
        connection.sendall(sent)
        return True

    return answer
