"""The source of web servers: a file, a list, an archive; and what is refused of each."""

from __future__ import annotations

import base64
import hashlib
import socket
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from datasets.errors import SourceChanged, SourceError
from datasets.sources.base import Site
from datasets.sources.http import probe
from datasets.sources.http.source import HttpSource
from tests.datasets.sources.reading import content
from tests.datasets.sources.wire import Answer, Wire, holding, reply, serving

CONFIG = b'backend: "python"\n'
FILES = {
    "/m/svm/config.pbtxt": CONFIG,
    "/m/svm/1/model.py": b"print('hello')\n",
    "/m/svm/1/weights.bin": bytes(range(256)) * 99,
    "/m/a%20b%25.txt": b"spaces",
}
NAMES = {
    "svm/config.pbtxt": CONFIG,
    "svm/1/model.py": b"print('hello')\n",
    "svm/1/weights.bin": bytes(range(256)) * 99,
    "a b%.txt": b"spaces",
}


def source(wire: Wire, url: str, **options: str) -> HttpSource:
    return HttpSource({"url": wire.url(url), **options}, Site(endpoints=(wire.endpoint,)))


def full_list() -> str:
    return "\n".join(f"{name} {len(body)} {hashlib.sha256(body).hexdigest()}" for name, body in NAMES.items())


def failing(url: str = "/m", **options: str) -> SourceError:
    """Why nothing can be planned there."""
    with serving(holding(FILES)) as wire, pytest.raises(SourceError) as caught:
        source(wire, url, **options).plan("")
    return caught.value


# One file


def test_an_address_of_a_file_is_a_dataset_of_one() -> None:
    with serving(holding(FILES)) as wire:
        http_source = source(wire, "/m/svm/1/weights.bin?signature=hidden".removesuffix("?signature=hidden"))
        assert http_source.check() == f"http://127.0.0.1:{wire.port}/m/svm/1/weights.bin can be read: one file."
        assert [(entry.path, entry.size) for entry in http_source.list("").entries] == [("weights.bin", 25344)]
        assert http_source.entry("").is_dir
        assert http_source.read("weights.bin", 4) == b"\0\1\2\3"
        for path in ("", "weights.bin"):
            (file,) = http_source.plan(path).files
            assert (file.path, file.size) == ("weights.bin", 25344)
            assert file.version == f'"{zlib.crc32(FILES["/m/svm/1/weights.bin"]):08x}"'
            assert content(http_source, path) == {"weights.bin": FILES["/m/svm/1/weights.bin"]}


def test_a_query_goes_along_and_is_never_shown() -> None:
    with serving(holding({"/f.onnx?key=hidden": b"onnx"})) as wire:
        http_source = source(wire, "/f.onnx?key=hidden")
        assert "hidden" not in http_source.check()
        assert content(http_source) == {"f.onnx": b"onnx"}
        with pytest.raises(SourceError) as caught:
            source(wire, "/none?key=hidden").check()
        assert "hidden" not in str(caught.value)


@pytest.fixture
def everything_ranged(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if small files were large ones."""
    monkeypatch.setattr(probe, "RANGED_FROM", 1)
    monkeypatch.setattr(probe.probe, "__kwdefaults__", {"ranged_from": 1})


@pytest.mark.usefixtures("everything_ranged")
@pytest.mark.parametrize("head", [True, False])
def test_parts_are_read_of_a_server_that_proved_to_give_them(head: bool) -> None:
    with serving(holding(FILES, head=head)) as wire:
        http_source = source(wire, "/m/svm/1/weights.bin")
        (file,) = http_source.plan("").files
        assert file.ranged
        with http_source.open(file, "", 100, 50) as body:
            assert body.read() == FILES["/m/svm/1/weights.bin"][100:150]
        with http_source.open(file, "", 25000) as body:
            assert body.read() == FILES["/m/svm/1/weights.bin"][25000:]


@pytest.mark.usefixtures("everything_ranged")
@pytest.mark.parametrize(
    "answer",
    [
        holding(FILES, ranges=False),
        holding(FILES, etags=False),
        holding(FILES, ranges=False, head=False),
    ],
)
def test_no_parts_are_read_of_a_server_that_gives_none_or_cannot_pin_a_version(answer: Answer) -> None:
    with serving(answer) as wire:
        http_source = source(wire, "/m/svm/1/weights.bin")
        assert not http_source.plan("").files[0].ranged
        assert content(http_source) == {"weights.bin": FILES["/m/svm/1/weights.bin"]}


def test_a_date_is_a_version_when_there_is_no_strong_etag() -> None:
    for headers in ({}, {"/m/svm/config.pbtxt": ('ETag: W/"weak"',)}):
        with serving(holding(FILES, etags=False, dates=True, extra=headers)) as wire:
            http_source = source(wire, "/m/svm/config.pbtxt")
            assert http_source.plan("").files[0].version == "Wed, 01 Jul 2026 10:00:00 GMT"
            assert http_source.list("").entries[0].modified == 1782900000.0
            assert content(http_source) == {"config.pbtxt": CONFIG}


def test_without_any_version_no_earlier_copy_passes_for_this_one() -> None:
    with serving(holding(FILES, etags=False)) as wire:
        http_source = source(wire, "/m/svm/config.pbtxt")
        first, second = http_source.plan(""), http_source.plan("")
    assert first.files[0].version == ""
    assert first.files == second.files
    assert first.fingerprint != second.fingerprint


def test_with_versions_the_same_files_have_the_same_fingerprint_at_one_address_only() -> None:
    with serving(holding({"/a/f": b"x", "/b/f": b"x"})) as wire:
        prints = [source(wire, url).plan("").fingerprint for url in ("/a/f", "/a/f", "/b/f")]
    assert prints[0] == prints[1] != prints[2]


def test_a_file_that_was_replaced_has_changed() -> None:
    files = dict(FILES)
    with serving(holding(files)) as wire:
        http_source = source(wire, "/m/svm/config.pbtxt")
        (file,) = http_source.plan("").files
        files["/m/svm/config.pbtxt"] = CONFIG.replace(b"python", b"pythen")
        with pytest.raises(SourceChanged):
            http_source.open(file, "")
        assert http_source.plan("").files[0].version != file.version


@pytest.mark.parametrize(
    ("header", "check"),
    [
        ("Repr-Digest: sha-256=:{sha256}:", "sha256"),
        ("Content-Digest: md5=:AAAA:, sha-256=:{sha256}:", "sha256"),
        ("Digest: md5={md5},sha-256={sha256}", "sha256"),
        ("Content-MD5: {md5}", "md5"),
        ("X-Goog-Hash: md5={md5}", "md5"),
        ("Digest: md5={sha256}", ""),
        ("Digest: sha-256=####", ""),
    ],
)
def test_a_digest_that_the_server_tells_is_checked(header: str, check: str) -> None:
    digests = {name: base64.b64encode(hashlib.new(name, CONFIG).digest()).decode() for name in ("sha256", "md5")}
    with serving(holding(FILES, extra={"/m/svm/config.pbtxt": (header.format(**digests),)})) as wire:
        (file,) = source(wire, "/m/svm/config.pbtxt").plan("").files
    assert file.check == (f"{check}:{hashlib.new(check, CONFIG).hexdigest()}" if check else "")


def test_a_server_that_does_not_say_how_long_a_file_is_cannot_be_planned() -> None:
    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")

    with serving(answer) as wire, pytest.raises(SourceError, match="does not say how long"):
        source(wire, "/f").plan("")


# Addresses and credentials


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must start with http"),
        ("/etc/passwd", "must start with http"),
        ("http://other.example/f", "is not a server"),
        ("http://169.254.169.254/f", "is not connected to"),
        ("http://me:hidden@127.0.0.1/f", "user name or password in it"),
    ],
)
def test_an_address_that_may_not_be_is_refused_before_anything_is_sent(url: str, words: str) -> None:
    http_source = HttpSource({"url": url}, Site(endpoints=("127.0.0.1",)))
    for way in (
        http_source.check,
        lambda: http_source.plan(""),
        lambda: http_source.list(""),
        lambda: http_source.entry(""),
    ):
        with pytest.raises(SourceError, match=words) as caught:
            way()
        assert "hidden" not in str(caught.value)


def test_a_folder_without_a_list_is_told_to_need_one() -> None:
    error = failing("/m/")
    assert "web servers do not say what is in one" in error.message
    assert "list" in error.hint


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"token": "hidden"}, "Authorization: Bearer hidden"),
        ({"username": "me", "password": "hi:dd\u00e9n"}, "Authorization: Basic bWU6aGk6ZGTDqW4="),
        ({"username": "me"}, "Authorization: Basic bWU6"),
    ],
)
def test_credentials_are_sent_with_every_request(options: dict[str, str], header: str) -> None:
    with serving(holding(FILES)) as wire:
        http_source = source(wire, "/m/svm/config.pbtxt", **options)
        assert content(http_source) == {"config.pbtxt": CONFIG}
    assert wire.requests
    assert all(header in request for request in wire.requests)


@pytest.mark.parametrize(
    "options",
    [
        {"token": "hid\nden: x"},
        {"token": "hidden\u00e9"},
        {"password": "hidden"},
        {"token": "hidden", "username": "me"},
        {"username": "m:e", "password": "hidden"},
        {"token": "hidden more"},
    ],
)
def test_credentials_that_cannot_be_are_refused_without_showing_them(options: dict[str, str]) -> None:
    error = failing("/m/svm/config.pbtxt", **options)
    assert "hid" not in str(error)


def test_wrong_credentials_are_said_so() -> None:
    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(reply(b"you are not me", status="401 Unauthorized"))

    with serving(answer) as wire, pytest.raises(SourceError, match="requires authentication"):
        source(wire, "/m/f", token="hidden").check()


def test_the_source_is_made_without_connecting() -> None:
    HttpSource({"url": "http://127.0.0.1:1/f", "list": "x"}, Site())


# The whole way


@pytest.mark.parametrize(
    "answer",
    [
        holding(FILES),
        holding(FILES, ranges=False, etags=False),
        holding(FILES, head=False),
    ],
)
def test_what_is_read_by_many_threads_is_what_is_there(
    answer: Answer,
    read_all: Callable[[HttpSource, str], dict[str, bytes]],
) -> None:
    with serving(answer) as wire:
        assert read_all(source(wire, "/m", list=full_list()), "svm") == {
            name.removeprefix("svm/"): body for name, body in NAMES.items() if name.startswith("svm/")
        }


@pytest.fixture
def read_all() -> Callable[[HttpSource, str], dict[str, bytes]]:
    """Reads a plan as a round does, from several threads."""

    def read(http_source: HttpSource, path: str) -> dict[str, bytes]:
        plan = http_source.plan(path)

        def one(number: int) -> tuple[str, bytes]:
            file = plan.files[number % len(plan.files)]
            with http_source.open(file, path) as body:
                return file.path, body.read()

        with ThreadPoolExecutor(8) as threads:
            contents = list(threads.map(one, range(100)))
        for file in plan.files:
            assert len({body for name, body in contents if name == file.path}) == 1
        return dict(contents)

    return read
