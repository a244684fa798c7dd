"""What the quick way takes, it must take as the standard library would; to which everything else goes."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from http.client import HTTPException, HTTPResponse

import pytest

from datasets.errors import SourceError
from datasets.sources.net.response import Sized, receive, send

BODY = bytes(range(256)) * 300
HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "x"\r\n\r\n'


def _wire(sent: bytes, step: int) -> socket.socket:
    """A socket on which `sent` arrives in pieces of `step` bytes, and then the end."""
    ours, theirs = socket.socketpair()

    def feed() -> None:
        with theirs, suppress(BrokenPipeError):  # not everything is read to its end
            for start in range(0, len(sent), step):
                theirs.sendall(sent[start : start + step])

    threading.Thread(target=feed, daemon=True).start()
    ours.settimeout(10)
    return ours


def _read(response: Sized | HTTPResponse) -> bytes:
    content, buffer = b"", bytearray(1000)
    while got := response.readinto(buffer):
        content += buffer[:got]
    return content


def ours(sent: bytes, method: str = "GET", step: int = 1 << 20) -> tuple[object, ...]:
    with _wire(sent, step) as wire:
        try:
            response = receive(wire, method)
            return response.status, sorted(response.headers.items()), response.will_close, _read(response)
        except (HTTPException, OSError) as error:
            return (type(error),)


def standard(sent: bytes, method: str = "GET") -> tuple[object, ...]:
    with _wire(sent, 1 << 20) as wire:
        response = HTTPResponse(wire, method=method)
        try:
            response.begin()
            return response.status, sorted(response.headers.items()), response.will_close, _read(response)
        except (HTTPException, OSError) as error:
            return (type(error),)


def answer(*lines: bytes, body: bytes = b"hello") -> bytes:
    return b"\r\n".join((*lines, b"", body))


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_usual_answer_is_read_in_any_pieces(step: int) -> None:
    sent = HEAD % len(BODY[:5000]) + BODY[:5000]
    assert (
        ours(sent, step=step)
        == standard(sent)
        == (200, [("Content-Length", "5000"), ("ETag", '"x"')], False, BODY[:5000])
    )


def test_a_usual_answer_is_not_given_to_the_standard_library() -> None:
    with _wire(HEAD % 5 + b"hello", 1 << 20) as wire:
        assert isinstance(receive(wire, "GET"), Sized)


def test_a_long_body_is_read_to_its_length_and_no_further() -> None:
    with _wire(HEAD % len(BODY) + BODY + b"HTTP/1.1 200 the next", 1 << 20) as wire:
        response = receive(wire, "GET")
        buffer = bytearray(50_000)
        assert response.readinto(buffer) == 50_000 and buffer == BODY[:50_000]
        assert not response.isclosed()
        assert response.readinto(buffer) == len(BODY) - 50_000
        assert response.isclosed() and response.readinto(buffer) == 0


ODD = {
    "no reason": answer(b"HTTP/1.1 200", b"Content-Length: 5"),
    "empty reason": answer(b"HTTP/1.1 200 ", b"Content-Length: 5"),
    "a control character in the reason": answer(b"HTTP/1.1 200 O\x00K", b"Content-Length: 5"),
    "a control character in a value": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X: a\x01b"),
    "an empty line first": b"\r\n" + answer(b"HTTP/1.1 200 OK", b"Content-Length: 5"),
    "a length that no 64 bits hold": answer(b"HTTP/1.1 200 OK", b"Content-Length: 99999999999999999999"),
    "an upgrade": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Upgrade: h2c", b"Connection: Upgrade"),
    "not found": answer(b"HTTP/1.1 404 Not Found", b"Content-Length: 5"),
    "a part": answer(b"HTTP/1.1 206 Partial Content", b"Content-Length: 5", b"Content-Range: bytes 0-4/9"),
    "blanks around a value": answer(b"HTTP/1.1 200 OK", b"Content-Length:\t 5 ", b"ETag:   x  "),
    "nothing in a value": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X:"),
    "bytes past ASCII": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X: \xe4\xff"),
    "a header twice": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X: a", b"x: b"),
    "keep-alive": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Connection: keep-alive"),
    "close": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Connection: close"),
    "old": answer(b"HTTP/1.0 200 OK", b"Content-Length: 5"),
    "old and kept": answer(b"HTTP/1.0 200 OK", b"Content-Length: 5", b"Connection: keep-alive"),
    "no length": answer(b"HTTP/1.1 200 OK", b"ETag: x"),
    "a length twice": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Content-Length: 3"),
    "a length below nothing": answer(b"HTTP/1.1 200 OK", b"Content-Length: -5"),
    "a length with a sign": answer(b"HTTP/1.1 200 OK", b"Content-Length: +5"),
    "a length in words": answer(b"HTTP/1.1 200 OK", b"Content-Length: five"),
    "chunks": answer(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    "chunks and a length": answer(
        b"HTTP/1.1 200 OK", b"Content-Length: 99", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"
    ),
    "a folded header": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X: a", b" b"),
    "a blank before the colon": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X : a"),
    "no colon": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"what is this"),
    "lines that end otherwise": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "a line feed in a value": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X: a\nY: b"),
    "a carriage return in a value": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X: a\rY: b"),
    "go on": answer(b"HTTP/1.1 100 Continue") + answer(b"HTTP/1.1 200 OK", b"Content-Length: 5"),
    "nothing": answer(b"HTTP/1.1 204 No Content", b"Content-Length: 5", body=b""),
    "too many headers": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", *[b"X: 1"] * 150),
    "a line too long": answer(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"X: " + b"x" * 70_000),
    "a status of two digits": answer(b"HTTP/1.1 20 OK", b"Content-Length: 5"),
    "another version": answer(b"HTTP/2.0 200 OK", b"Content-Length: 5"),
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "the end at once": b"",
    "the end in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "the end in the body": answer(b"HTTP/1.1 200 OK", b"Content-Length: 9"),
}


@pytest.mark.parametrize("name", ODD)
def test_whatever_comes_is_read_as_the_standard_library_reads_it(name: str) -> None:
    assert ours(ODD[name]) == ours(ODD[name], step=3) == standard(ODD[name])


def test_the_answer_to_a_head_has_no_body() -> None:
    sent = HEAD % 5
    assert ours(sent, "HEAD") == standard(sent, "HEAD")


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a b", {}),
        ("/a\r\nX: y", {}),
        ("/\u00fc", {}),
        ("/a\0", {}),
        ("/", {"X": "a\r\nY: b"}),
        ("/", {"X": "a\nb"}),
        ("/", {"X": "a\0"}),
    ],
)
def test_nothing_gets_out_of_its_line(target: str, headers: dict[str, str]) -> None:
    one, other = socket.socketpair()
    with one, other:
        with pytest.raises(SourceError, match="no request can have"):
            send(one, "GET", target, headers)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)


def test_a_request_is_its_lines() -> None:
    one, other = socket.socketpair()
    with one, other:
        send(one, "GET", "/a?b=%20", {"Host": "example.com", "If-Match": '"\u00e4"'})
        assert other.recv(1000) == b'GET /a?b=%20 HTTP/1.1\r\nHost: example.com\r\nIf-Match: "\xe4"\r\n\r\n'
