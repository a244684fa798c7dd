"""Requests, against servers that answer well, or wrongly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3
from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool

from datasets.errors import SourceChanged, SourceError
from datasets.sources.net.connections import pool_classes
from datasets.sources.net.errors import retry_after
from datasets.sources.net.sockets import Network
from tests.datasets.sources.net.clients import CONTENT, failing, leading, part, ranged, talking, web
from tests.datasets.sources.wire import Answer, always, reply, serving


def test_a_body_arrives_as_it_is_and_its_connection_is_used_again() -> None:
    with talking(always(reply(CONTENT))) as (wire, client):
        for _ in range(5):
            answer = client.open(wire.url("/a b".replace(" ", "%20")))
            assert (answer.status, answer.size, answer.body.readall()) == (200, len(CONTENT), CONTENT)
            answer.body.close()
    assert wire.connections == 1
    assert wire.requests[0].startswith("GET /a%20b HTTP/1.1\r\n")
    assert "Accept-Encoding: identity\r\n" in wire.requests[0]
    assert f"Host: 127.0.0.1:{wire.port}\r\n" in wire.requests[0]


def test_a_body_goes_straight_into_the_buffer_that_is_given() -> None:
    with talking(always(reply(CONTENT))) as (wire, client):
        body = client.open(wire.url()).body
        buffer = bytearray(1 << 20)
        assert body.readinto(buffer) == len(CONTENT)
        assert buffer[: len(CONTENT)] == CONTENT
        assert body.readinto(buffer) == 0
        assert body.readinto(bytearray()) == 0


def test_a_connection_whose_body_was_not_read_to_its_end_is_closed() -> None:
    with talking(always(reply(CONTENT))) as (wire, client):
        for _ in range(3):
            with client.open(wire.url()).body as body:
                assert body.read(10) == CONTENT[:10]
    assert wire.connections == 3


def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    """Also when that is only seen after the request was sent."""

    def answer(head: str, connection: socket.socket) -> bool:
        if wire.connections == 1 and len(wire.requests) == 2:
            return False  # took the request, and closes without a word
        connection.sendall(reply(CONTENT))
        return True

    with talking(answer) as (wire, client):
        assert [client.open(wire.url()).body.readall() for _ in range(3)] == [CONTENT] * 3
    assert wire.connections == 2


def test_requests_are_sent_before_the_first_answer_is_read() -> None:
    def answer(head: str, connection: socket.socket) -> bool:
        if len(wire.requests) == 5:
            everything.set()
        assert everything.wait(10)  # nobody gets an answer before all have asked
        connection.sendall(reply(head.split(" ")[1].encode()))
        return True

    everything = threading.Event()
    with talking(answer) as (wire, client):
        requests = [client.begin(client.network.require(wire.url(f"/{number}")), {}) for number in range(5)]
        assert [one.answer().body.readall() for one in requests] == [b"/0", b"/1", b"/2", b"/3", b"/4"]
        assert client.open(wire.url("/again")).body.readall() == b"/again"
    assert wire.connections == 5


def test_a_request_is_sent_again_when_the_server_closed_its_used_connection() -> None:
    def answer(head: str, connection: socket.socket) -> bool:
        if wire.connections == 1 and len(wire.requests) == 2:
            return False
        connection.sendall(reply(CONTENT))
        return True

    with talking(answer) as (wire, client):
        url = client.network.require(wire.url())
        client.ask(url, {}).body.readall()
        request = client.begin(url, {})
        assert request.answer().body.readall() == CONTENT
    assert (wire.connections, len(wire.requests)) == (2, 3)


def test_a_new_connection_that_is_closed_without_an_answer_is_an_error() -> None:
    with serving(lambda head, connection: False) as wire:
        client = web()
        request = client.begin(client.network.require(wire.url()), {})
        with pytest.raises(SourceError, match="closed the connection"):
            request.answer()
    assert len(wire.requests) == 1


def test_a_request_that_is_given_up_leaves_no_connection() -> None:
    with talking(always(reply(CONTENT))) as (wire, client):
        client.begin(client.network.require(wire.url()), {}).close()
        assert client.open(wire.url()).body.readall() == CONTENT
    assert wire.connections == 2


def test_many_threads_have_a_connection_each() -> None:
    with serving(always(reply(CONTENT))) as wire, ThreadPoolExecutor(8) as threads:
        client = web()
        bodies = list(threads.map(lambda _: client.open(wire.url()).body.readall(), range(200)))
        client.close()
    assert bodies == [CONTENT] * 200
    assert wire.connections <= 8


def test_a_head_has_no_body() -> None:
    with talking(always(reply(b"", length=5, status="200 OK"))) as (wire, client):
        answers = [client.open(wire.url(), method="HEAD") for _ in range(2)]
        assert [(answer.size, answer.body.readall()) for answer in answers] == [(5, b"")] * 2
    assert wire.connections == 1


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert part(always(reply(CONTENT))) == CONTENT


# Bodies that are not what they should be


def test_a_torn_body_can_be_tried_again() -> None:
    error = failing(always(reply(CONTENT[:5000], length=len(CONTENT)), keep=False))
    assert "closed the connection too early" in error.message
    assert not error.permanent


def test_a_chunked_body_is_put_together_and_its_connection_is_used_again() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
    with talking(always(chunked)) as (wire, client):
        for _ in range(2):
            with client.part(wire.url(), "file", 11) as body:
                assert body.read(100) == b"hello world"  # and no more: the reader knows the size
    assert wire.connections == 1


@pytest.mark.parametrize("torn", [b"5\r\nhel", b"5\r\nhello\r\n", b"zz\r\nhello\r\n", b""])
def test_a_torn_chunk_can_be_tried_again(torn: bytes) -> None:
    error = failing(always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", torn, keep=False))
    assert not error.permanent


@pytest.mark.parametrize("size", [1000, len(CONTENT) - 1, len(CONTENT) + 1, 100_000])
@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_a_file_of_another_size_than_planned_has_changed(size: int, framing: str) -> None:
    body = b"x" * size
    answers = {
        "length": reply(body),
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (size, body),
        "end": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body,
    }
    with pytest.raises(SourceChanged, match="file changed"):
        part(always(answers[framing], keep=False))


def test_a_file_without_a_length_is_good_when_its_bytes_are_as_many_as_planned() -> None:
    assert part(always(b"HTTP/1.0 200 OK\r\n\r\n", CONTENT, keep=False)) == CONTENT


@pytest.mark.parametrize(
    "header",
    [
        "Content-Encoding: gzip",
        "Content-Encoding: br",
        "Transfer-Encoding: gzip, chunked",
    ],
)
def test_what_was_packed_on_the_way_is_refused(header: str) -> None:
    error = failing(always(reply(CONTENT, header)))
    assert error.permanent
    assert "asked not to" in error.message


@pytest.mark.parametrize("length", ["-1", "five", "5, 5", "0x5", "\u0665"])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    error = failing(always(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello".encode(), keep=False))
    assert not error.permanent


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 two OK\r\n\r\n",
        b"\r\n",
        b"HTTP/9.9 200\r\n\r\n",
    ],
)
def test_what_is_no_answer_can_be_tried_again(answer: bytes) -> None:
    assert not failing(always(answer, keep=False)).permanent


# Parts of files


def test_a_part_is_asked_for_by_its_bytes_and_pinned_to_its_version() -> None:
    with talking(ranged(f"bytes 100-199/{len(CONTENT)}", CONTENT[100:200], 'ETag: "v1"')) as (wire, client):
        body = client.part(wire.url(), "file", len(CONTENT), offset=100, length=100, version='"v1"')
        assert body.readall() == CONTENT[100:200]
    assert "Range: bytes=100-199\r\n" in wire.requests[0]
    assert 'If-Match: "v1"\r\n' in wire.requests[0]


def test_the_rest_of_a_file_is_a_part_too() -> None:
    content = part(ranged(f"bytes 100-{len(CONTENT) - 1}/{len(CONTENT)}", CONTENT[100:]), offset=100)
    assert content == CONTENT[100:]


def test_a_date_pins_a_version_as_well() -> None:
    date = "Wed, 01 Jul 2026 10:00:00 GMT"
    assert part(always(reply(CONTENT, f"Last-Modified: {date}")), version=date) == CONTENT
    with pytest.raises(SourceChanged):
        part(always(reply(CONTENT, "Last-Modified: Wed, 01 Jul 2026 10:00:01 GMT")), version=date)


def test_the_whole_instead_of_a_part_is_refused() -> None:
    with pytest.raises(SourceError, match="no longer gives parts") as caught:
        part(always(reply(CONTENT)), offset=100, length=100)
    assert not caught.value.permanent


@pytest.mark.parametrize(
    "content_range",
    [
        "bytes 0-99/16384",
        "bytes 100-198/16384",
        "bytes 100-299/16384",
        "bytes */16384",
        "items 100-199/16384",
        "",
        "x",
    ],
)
def test_another_part_than_asked_for_is_refused(content_range: str) -> None:
    with pytest.raises(SourceError, match="part of file") as caught:
        part(ranged(content_range, CONTENT[100:200]), offset=100, length=100)
    assert not caught.value.permanent


def test_several_parts_at_once_are_refused() -> None:
    body = b"--x\r\nContent-Range: bytes 100-199/16384\r\n\r\n" + CONTENT[100:200] + b"\r\n--x--\r\n"
    with pytest.raises(SourceError, match="part of file"):
        part(always(reply(body, "Content-Type: multipart/byteranges; boundary=x", status="206 OK")), 100, 100)


@pytest.mark.parametrize(
    "answer",
    [
        ranged("bytes 100-199/16385", CONTENT[100:200], 'ETag: "v1"'),
        ranged("bytes 100-199/16384", CONTENT[100:200], 'ETag: "v2"'),
        ranged("bytes 100-199/16384", CONTENT[100:200], 'ETag: W/"v1"'),
        ranged("bytes 100-199/16384", CONTENT[100:200]),
        ranged("bytes 100-199/16384", CONTENT[100:201], 'ETag: "v1"'),
        always(reply(status="412 Precondition Failed")),
        always(reply(status="416 Range Not Satisfiable")),
    ],
)
def test_a_part_of_another_version_is_told_as_a_change(answer: Answer) -> None:
    with pytest.raises(SourceChanged, match="file changed"):
        part(answer, offset=100, length=100, version='"v1"')


def test_a_torn_part_can_be_tried_again() -> None:
    with pytest.raises(SourceError, match="too early") as caught:
        torn = reply(b"x" * 50, "Content-Range: bytes 100-199/16384", status="206 OK", length=100)
        part(always(torn, keep=False), 100, 100)
    assert not isinstance(caught.value, SourceChanged)
    assert not caught.value.permanent


# Statuses, in words


@pytest.mark.parametrize(
    ("status", "permanent", "words"),
    [
        (401, True, "requires authentication"),
        (403, True, "does not let these credentials read /file"),
        (404, True, "There is no /file at"),
        (410, True, "There is no /file"),
        (418, True, "answered 418"),
        (429, False, "asked too often"),
        (408, False, "cannot answer right now"),
        (500, False, "cannot answer right now"),
        (502, False, "(502)"),
        (503, False, "(503)"),
        (304, True, "answered 304"),
    ],
)
def test_a_refusal_says_what_is_wrong(status: int, permanent: bool, words: str) -> None:
    error = failing(always(reply(b"hidden", status=f"{status} hidden")))
    assert words in error.message
    assert error.permanent is permanent


def test_a_refusal_does_not_cost_its_connection() -> None:
    with talking(always(reply(b"no such thing", status="404 Not Found"))) as (wire, client):
        for _ in range(3):
            with pytest.raises(SourceError):
                client.open(wire.url())
    assert wire.connections == 1


@pytest.mark.parametrize(("value", "wait"), [("7", 7.0), ("0", 0.0), ("99999999", 600.0), ("-5", 0.0), ("soon", 0.0)])
def test_how_long_a_server_asks_to_wait_is_passed_on(value: str, wait: float) -> None:
    error = failing(always(reply(status="503 Busy").replace(b"\r\n\r\n", f"\r\nRetry-After: {value}\r\n\r\n".encode())))
    assert error.wait == wait
    assert not error.permanent


def test_a_date_to_wait_for_is_counted_in_seconds() -> None:
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    assert 90 < retry_after(later) <= 100
    assert retry_after("Wed, 01 Jul 2020 10:00:00 GMT") == 0


# Nothing stays behind


def test_no_failure_leaves_a_socket_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for answer in (
        always(reply(CONTENT[:5], length=500), keep=False),
        always(reply(status="404 No")),
        always(b"x", keep=False),
        always(reply(CONTENT, "Content-Encoding: gzip")),
        leading("http://other.example/"),
    ):
        failing(answer)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# The same connections for libraries that have pools of urllib3


@pytest.mark.parametrize(
    "classes",
    [
        lambda network: pool_classes(network),
        lambda network: pool_classes(network, AWSHTTPConnectionPool, AWSHTTPSConnectionPool),
    ],
)
def test_pools_of_a_library_connect_only_where_it_is_allowed(
    classes: Callable[[Network], dict[str, type[urllib3.HTTPConnectionPool]]],
) -> None:
    with serving(always(reply(CONTENT))) as wire:
        manager = urllib3.PoolManager(retries=False)
        manager.pool_classes_by_scheme = classes(Network([wire.endpoint]))
        assert manager.request("GET", wire.url()).data == CONTENT
        for url in (f"http://127.0.0.1:{wire.port + 1}/", "https://169.254.169.254/", "http://other.example/"):
            with pytest.raises(SourceError):
                manager.request("GET", url)
        manager.clear()
    assert len(wire.requests) == 1
