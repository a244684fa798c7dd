"""A server on loopback that answers S3 requests as a test tells it: for what a real one does not do on command."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from datasets.sources.base import Site
from datasets.sources.s3.source import S3Source


@dataclass(frozen=True)
class ReceivedRequest:
    """One request. `key` is "" for a listing; `query` has the first value of each name."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Answer = Callable[[ReceivedRequest], Reply]


@dataclass
class Odd:
    port: int
    requests: list[ReceivedRequest]
    scheme: str = "http"

    def source(self, **options: str) -> S3Source:
        keys = {"access_key": "AKIDODD", "secret_key": "not-a-real-one"}
        endpoint = f"{self.scheme}://127.0.0.1:{self.port}"
        return S3Source({"bucket": "models", "endpoint": endpoint, **keys, **options}, Site(endpoints=("127.0.0.1",)))


@contextmanager
def answering(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Odd]:
    requests: list[ReceivedRequest] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
            query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            request = ReceivedRequest(self.command, bucket, key, query, {n.lower(): v for n, v in self.headers.items()})
            requests.append(request)
            response = answer(request)
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in response.headers:
                self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Odd(server.server_address[1], requests, "https" if tls else "http")
        finally:
            server.shutdown()
            thread.join()


def listing(
    keys: list[str],
    *,
    prefixes: list[str] | None = None,
    size: int = 1,
    etag: str = '"0123"',
    next: str = "",
    storage_class: str = "STANDARD",
) -> Reply:
    """A page of ListObjectsV2. With `next`, there are more."""
    rows = "".join(
        f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>{escape(etag)}</ETag><Size>{0 if key.endswith('/') else size}</Size>"
        f"<StorageClass>{storage_class}</StorageClass></Contents>"
        for key in keys
    )
    rows += "".join(f"<CommonPrefixes><Prefix>{quote(each)}</Prefix></CommonPrefixes>" for each in prefixes or [])
    more = f"<NextContinuationToken>{escape(next)}</NextContinuationToken>" if next else ""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>models</Name><EncodingType>url</EncodingType><IsTruncated>{'true' if next else 'false'}</IsTruncated>"
        f"{more}{rows}</ListBucketResult>"
    )
    return Reply(body=text.encode(), headers={"Content-Type": "application/xml"})


def error(status: int, code: str, extra: str = "", **headers: str) -> Reply:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>No.</Message>{extra}</Error>'
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, text.encode(), {"Content-Type": "application/xml", **named})


def lists(*keys: str, **more: str) -> Answer:
    """One page of these keys, and nothing in them."""
    return lambda request: listing([*keys], **more) if not request.key else Reply(404)


CONTENT = bytes(range(200))
ETAG = f'"{hashlib.md5(CONTENT).hexdigest()}"'


def gives(body: bytes = CONTENT, status: int = 200, **headers: str) -> Answer:
    """A bucket with one object, `a`, of CONTENT and ETAG, to which this is the answer."""
    named = {"ETag": ETAG, **{name.replace("_", "-"): value for name, value in headers.items()}}
    whole = listing(["a"], size=len(CONTENT), etag=ETAG)
    return lambda request: Reply(status, body, named) if request.key else whole
