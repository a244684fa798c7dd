"""The source of web servers: a file, a list, an archive; and what is refused of each."""

from __future__ import annotations

import base64
import hashlib
import socket
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from datasets.errors import SourceChanged, SourceError
from datasets.recognise import recognise
from datasets.sources import http_look
from datasets.sources.base import Site
from datasets.sources.http import HttpSource
from tests.datasets.sources.wire import Answer, Wire, holding, reply, serving

CONFIG = b'backend: "python"\n'
FILES = {
    "/m/svm/config.pbtxt": CONFIG, "/m/svm/1/model.py": b"print('hello')\n",
    "/m/svm/1/weights.bin": bytes(range(256)) * 99, "/m/a%20b%25.txt": b"spaces",
}
NAMES = {"svm/config.pbtxt": CONFIG, "svm/1/model.py": b"print('hello')\n", "svm/1/weights.bin": bytes(range(256)) * 99,
         "a b%.txt": b"spaces"}


def source(wire: Wire, url: str, **options: str) -> HttpSource:
    return HttpSource({"url": wire.url(url), **options}, Site(endpoints=(wire.endpoint,)))


def full_list() -> str:
    return "\n".join(f"{name} {len(body)} {hashlib.sha256(body).hexdigest()}" for name, body in NAMES.items())


def content(made: HttpSource, path: str = "") -> dict[str, bytes]:
    """Everything that a plan of `path` gives to read."""
    found = {}
    for file in made.plan(path).files:
        with made.open(file, path) as body:
            found[file.path] = body.read()
    return found


@contextmanager
def failing(url: str = "/m", **options: str) -> Iterator[Any]:
    with serving(holding(FILES)) as wire, pytest.raises(SourceError) as caught:
        yield caught
        source(wire, url, **options).plan("")


# One file


def test_an_address_of_a_file_is_a_dataset_of_one() -> None:
    with serving(holding(FILES)) as wire:
        made = source(wire, "/m/svm/1/weights.bin?signature=hidden".removesuffix("?signature=hidden"))
        assert made.check() == f"http://127.0.0.1:{wire.port}/m/svm/1/weights.bin can be read: one file."
        assert [(entry.path, entry.size) for entry in made.list("").entries] == [("weights.bin", 25344)]
        assert made.entry("").is_dir
        assert made.read("weights.bin", 4) == b"\0\1\2\3"
        for path in ("", "weights.bin"):
            (file,) = made.plan(path).files
            assert (file.path, file.size) == ("weights.bin", 25344)
            assert file.version == f'"{zlib.crc32(FILES["/m/svm/1/weights.bin"]):08x}"'
            assert content(made, path) == {"weights.bin": FILES["/m/svm/1/weights.bin"]}


def test_a_query_goes_along_and_is_never_shown() -> None:
    with serving(holding({"/f.onnx?key=hidden": b"onnx"})) as wire:
        made = source(wire, "/f.onnx?key=hidden")
        assert "hidden" not in made.check()
        assert content(made) == {"f.onnx": b"onnx"}
        with pytest.raises(SourceError) as caught:
            source(wire, "/none?key=hidden").check()
        assert "hidden" not in str(caught.value)


@pytest.fixture
def everything_ranged(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if small files were large ones."""
    monkeypatch.setattr(http_look, "RANGED_FROM", 1)
    monkeypatch.setattr(http_look.look, "__kwdefaults__", {"ranged_from": 1})


@pytest.mark.usefixtures("everything_ranged")
@pytest.mark.parametrize("head", [True, False])
def test_parts_are_read_of_a_server_that_proved_to_give_them(head: bool) -> None:
    with serving(holding(FILES, head=head)) as wire:
        made = source(wire, "/m/svm/1/weights.bin")
        (file,) = made.plan("").files
        assert file.ranged
        with made.open(file, "", 100, 50) as body:
            assert body.read() == FILES["/m/svm/1/weights.bin"][100:150]
        with made.open(file, "", 25000) as body:
            assert body.read() == FILES["/m/svm/1/weights.bin"][25000:]


@pytest.mark.usefixtures("everything_ranged")
@pytest.mark.parametrize("answer", [
    holding(FILES, ranges=False), holding(FILES, etags=False), holding(FILES, ranges=False, head=False),
])
def test_no_parts_are_read_of_a_server_that_gives_none_or_cannot_pin_a_version(answer: Answer) -> None:
    with serving(answer) as wire:
        made = source(wire, "/m/svm/1/weights.bin")
        assert not made.plan("").files[0].ranged
        assert content(made) == {"weights.bin": FILES["/m/svm/1/weights.bin"]}


def test_a_date_is_a_version_when_there_is_no_strong_etag() -> None:
    for headers in ({}, {"/m/svm/config.pbtxt": ('ETag: W/"weak"',)}):
        with serving(holding(FILES, etags=False, dates=True, extra=headers)) as wire:
            made = source(wire, "/m/svm/config.pbtxt")
            assert made.plan("").files[0].version == "Wed, 01 Jul 2026 10:00:00 GMT"
            assert made.list("").entries[0].modified == 1782900000.0
            assert content(made) == {"config.pbtxt": CONFIG}


def test_without_any_version_no_earlier_copy_passes_for_this_one() -> None:
    with serving(holding(FILES, etags=False)) as wire:
        made = source(wire, "/m/svm/config.pbtxt")
        first, second = made.plan(""), made.plan("")
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
        made = source(wire, "/m/svm/config.pbtxt")
        (file,) = made.plan("").files
        files["/m/svm/config.pbtxt"] = CONFIG.replace(b"python", b"pythen")
        with pytest.raises(SourceChanged):
            made.open(file, "")
        assert made.plan("").files[0].version != file.version


@pytest.mark.parametrize(("header", "check"), [
    ("Repr-Digest: sha-256=:{sha256}:", "sha256"), ("Content-Digest: md5=:AAAA:, sha-256=:{sha256}:", "sha256"),
    ("Digest: md5={md5},sha-256={sha256}", "sha256"), ("Content-MD5: {md5}", "md5"), ("X-Goog-Hash: md5={md5}", "md5"),
    ("Digest: md5={sha256}", ""), ("Digest: sha-256=####", ""),
])
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


# Lists


def test_the_files_of_a_list_are_folders_and_files() -> None:
    with serving(holding(FILES)) as wire:
        made = source(wire, "/m", list=full_list())
        assert made.check().endswith("/m can be read: a list of 4 files.")
        assert [(entry.path, entry.is_dir, entry.size) for entry in made.list("").entries] == [
            ("svm", True, 0), ("a b%.txt", False, 6),
        ]
        assert [entry.name for entry in made.list("svm", limit=1).entries] == ["1"]
        assert [entry.name for entry in made.list("svm", made.list("svm", limit=1).next, 1).entries] == ["config.pbtxt"]
        assert made.read("svm/config.pbtxt", 7) == CONFIG[:7]
        assert recognise(made, "svm").kind == "triton_model"
        assert content(made) == NAMES
        assert content(made, "svm/1") == {"model.py": b"print('hello')\n", "weights.bin": NAMES["svm/1/weights.bin"]}
        assert content(made, "svm/config.pbtxt") == {"config.pbtxt": CONFIG}
        for path in ("none", "svm/1/model.py/x", "sv"):
            for way in (made.entry, made.plan, made.list, lambda path: made.read(path, 1)):
                with pytest.raises(SourceError, match="There is no"):
                    way(path)


def test_a_list_that_says_everything_costs_no_request_to_plan() -> None:
    with serving(holding(FILES)) as wire:
        plan = source(wire, "/m", list=full_list()).plan("")
    assert wire.requests == []
    assert {file.path: file.check for file in plan.files} == {
        name: f"sha256:{hashlib.sha256(body).hexdigest()}" for name, body in NAMES.items()
    }


@pytest.mark.parametrize("place", ["SHA256SUMS", "/m/SHA256SUMS", "{url}"])
def test_a_list_at_the_server_is_read_from_there(place: str) -> None:
    sums = "\n".join(f"{hashlib.sha256(body).hexdigest()}  {name}" for name, body in NAMES.items())
    with serving(holding({**FILES, "/m/SHA256SUMS": f"# made by hand\n\n{sums}\n".encode()})) as wire:
        made = source(wire, "/m/", list=place.format(url=wire.url("/m/SHA256SUMS")))
        assert {entry.name: entry.size for entry in made.list("").entries} == {"svm": 0, "a b%.txt": 6}
        plan = made.plan("")
        assert {file.path: (file.size, file.check) for file in plan.files} == {
            name: (len(body), f"sha256:{hashlib.sha256(body).hexdigest()}") for name, body in NAMES.items()
        }
        assert all(file.version.startswith('"') for file in plan.files)
        assert content(made) == NAMES


def test_credentials_do_not_go_to_another_server_for_a_list() -> None:
    with serving(holding(FILES)) as wire, serving(holding({"/list": full_list().encode()})) as other:
        made = HttpSource(
            {"url": wire.url("/m"), "list": other.url("/list"), "token": "hidden"},
            Site(endpoints=(wire.endpoint, other.endpoint)),
        )
        assert content(made) == NAMES
    assert "hidden" not in "".join(other.requests)
    assert all("Authorization: Bearer hidden" in request for request in wire.requests)


def test_a_list_at_a_server_that_nobody_may_ask_is_refused() -> None:
    with failing(list="http://169.254.169.254/list") as caught:
        pass
    assert "is not connected to" in caught.value.message


def test_a_size_that_the_server_contradicts_is_told() -> None:
    with failing(list="svm/config.pbtxt 5\nsvm/1/model.py 15") as caught:
        pass
    assert caught.value.message == "svm/config.pbtxt has 18 bytes at the server; the list says 5."


def test_a_file_shorter_than_a_list_says_is_a_change() -> None:
    with serving(holding(FILES)) as wire:
        made = source(wire, "/m", list=f"svm/config.pbtxt 500 {'0' * 64}\nx 1 {'0' * 64}")
        with pytest.raises(SourceChanged):
            made.open(made.plan("").files[0], "")


def test_a_file_of_a_list_that_is_missing_is_not_shown_and_not_copied() -> None:
    with serving(holding(FILES)) as wire:
        made = source(wire, "/m", list="svm/config.pbtxt\nmissing.bin")
        assert [entry.name for entry in made.list("").entries] == ["svm"]
        with pytest.raises(SourceError, match=r"There is no /m/missing\.bin"):
            made.plan("")


@pytest.mark.parametrize(("text", "words"), [
    ("../etc/passwd 5\nb 5", "Line 1 of the list has a name that may not be"),
    ("a 5\n/etc/passwd 5", "Line 2 of the list has a name that may not be"),
    ("a/../../b 5\nb 5", "Line 1"), ("a 5\na 6", "a is there twice"), ("a 5\na/b 5", "a is a file and a folder"),
    ("a/b 5\na 5", "a is there twice"), ("# only this\n\n", "names no file"), ("a\0b 5\nb", "Line 1"),
    ("x/" * 70 + "x 5\nb 5", "folders deep"), ("y" * 300 + " 5\nb 5", "no folder could hold"),
    ("a\x07b 5\nb 5", "no folder"),
    (". 5\nb 5", "names no file"),
])
def test_a_list_with_a_name_that_may_not_be_is_refused(text: str, words: str) -> None:
    with failing(list=text) as caught:
        pass
    assert words in caught.value.message


def test_a_list_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.sources.filelist.MAX_BYTES", 1 << 20)

    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(b"name 5\n" * 1000)

    with serving(answer) as wire, pytest.raises(SourceError, match="The list is longer than 1048576 bytes"):
        source(wire, "/m", list="SHA256SUMS").plan("")


def test_a_list_that_is_no_text_is_refused() -> None:
    with serving(holding({"/m/list": b"\xff\xfe\0"})) as wire, pytest.raises(SourceError, match="not text in UTF-8"):
        source(wire, "/m", list="list").check()


def test_the_first_missing_file_ends_a_plan_of_many() -> None:
    with serving(holding({})) as wire:
        with pytest.raises(SourceError, match="There is no"):
            source(wire, "/m", list="\n".join(f"file{number}" for number in range(5000))).plan("")
        assert len(wire.requests) < 200


def test_a_plan_beats_and_can_be_stopped() -> None:
    class Stopped(Exception):
        pass

    def beat() -> None:
        raise Stopped

    with serving(holding(FILES)) as wire, pytest.raises(Stopped):
        source(wire, "/m", list="svm/config.pbtxt\nsvm/1/model.py").plan("", beat=beat)


# Addresses and credentials


@pytest.mark.parametrize(("url", "words"), [
    ("", "must start with http"), ("/etc/passwd", "must start with http"),
    ("http://other.example/f", "is not a server"), ("http://169.254.169.254/f", "is not connected to"),
    ("http://me:hidden@127.0.0.1/f", "user name or password in it"),
])
def test_an_address_that_may_not_be_is_refused_before_anything_is_sent(url: str, words: str) -> None:
    made = HttpSource({"url": url}, Site(endpoints=("127.0.0.1",)))
    for way in (made.check, lambda: made.plan(""), lambda: made.list(""), lambda: made.entry("")):
        with pytest.raises(SourceError, match=words) as caught:
            way()
        assert "hidden" not in str(caught.value)


def test_a_folder_without_a_list_is_told_to_need_one() -> None:
    with failing("/m/") as caught:
        pass
    assert "web servers do not say what is in one" in caught.value.message
    assert "list" in caught.value.hint


@pytest.mark.parametrize(("options", "header"), [
    ({"token": "hidden"}, "Authorization: Bearer hidden"),
    ({"username": "me", "password": "hi:dd\u00e9n"}, "Authorization: Basic bWU6aGk6ZGTDqW4="),
    ({"username": "me"}, "Authorization: Basic bWU6"),
])
def test_credentials_are_sent_with_every_request(options: dict[str, str], header: str) -> None:
    with serving(holding(FILES)) as wire:
        made = source(wire, "/m/svm/config.pbtxt", **options)
        assert content(made) == {"config.pbtxt": CONFIG}
    assert wire.requests
    assert all(header in request for request in wire.requests)


@pytest.mark.parametrize("options", [
    {"token": "hid\nden: x"}, {"token": "hidden\u00e9"}, {"password": "hidden"}, {"token": "hidden", "username": "me"},
    {"username": "m:e", "password": "hidden"}, {"token": "hidden more"},
])
def test_credentials_that_cannot_be_are_refused_without_showing_them(options: dict[str, str]) -> None:
    with failing("/m/svm/config.pbtxt", **options) as caught:
        pass
    assert "hid" not in str(caught.value)


def test_wrong_credentials_are_said_so() -> None:
    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(reply(b"you are not me", status="401 Unauthorized"))

    with serving(answer) as wire, pytest.raises(SourceError, match="asks who is there"):
        source(wire, "/m/f", token="hidden").check()


def test_the_source_is_made_without_connecting() -> None:
    HttpSource({"url": "http://127.0.0.1:1/f", "list": "x"}, Site())


# The whole way


@pytest.mark.parametrize("answer", [
    holding(FILES), holding(FILES, ranges=False, etags=False), holding(FILES, head=False),
])
def test_what_is_read_by_many_threads_is_what_is_there(
    answer: Answer, read_all: Callable[[HttpSource, str], dict[str, bytes]],
) -> None:
    with serving(answer) as wire:
        assert read_all(source(wire, "/m", list=full_list()), "svm") == {
            name.removeprefix("svm/"): body for name, body in NAMES.items() if name.startswith("svm/")
        }


@pytest.fixture
def read_all() -> Callable[[HttpSource, str], dict[str, bytes]]:
    """Reads a plan as a round does, from several threads."""

    def read(made: HttpSource, path: str) -> dict[str, bytes]:
        plan = made.plan(path)

        def one(number: int) -> tuple[str, bytes]:
            file = plan.files[number % len(plan.files)]
            with made.open(file, path) as body:
                return file.path, body.read()

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(one, range(100)))
        for file in plan.files:
            assert len({body for name, body in found if name == file.path}) == 1
        return dict(found)

    return read
