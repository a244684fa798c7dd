"""Lists of files at web servers: where one comes from, and what its digests are held against."""

from __future__ import annotations

import hashlib
import socket
from contextlib import suppress

import pytest

from datasets.errors import SourceChanged, SourceError
from datasets.inspect.recognise import recognise
from datasets.sources.base import Site
from datasets.sources.http.source import HttpSource
from tests.datasets.sources.http.test_source import CONFIG, FILES, NAMES, failing, full_list, source
from tests.datasets.sources.reading import content
from tests.datasets.sources.wire import holding, reply, serving


def test_the_files_of_a_list_are_folders_and_files() -> None:
    with serving(holding(FILES)) as wire:
        http_source = source(wire, "/m", list=full_list())
        assert http_source.check().endswith("/m can be read: a list of 4 files.")
        assert [(entry.path, entry.is_dir, entry.size) for entry in http_source.list("").entries] == [
            ("svm", True, 0),
            ("a b%.txt", False, 6),
        ]
        assert [entry.name for entry in http_source.list("svm", limit=1).entries] == ["1"]
        assert [entry.name for entry in http_source.list("svm", http_source.list("svm", limit=1).next, 1).entries] == [
            "config.pbtxt"
        ]
        assert http_source.read("svm/config.pbtxt", 7) == CONFIG[:7]
        assert recognise(http_source, "svm").kind == "triton_model"
        assert content(http_source) == NAMES
        assert content(http_source, "svm/1") == {
            "model.py": b"print('hello')\n",
            "weights.bin": NAMES["svm/1/weights.bin"],
        }
        assert content(http_source, "svm/config.pbtxt") == {"config.pbtxt": CONFIG}
        for path in ("none", "svm/1/model.py/x", "sv"):
            for way in (http_source.entry, http_source.plan, http_source.list, lambda path: http_source.read(path, 1)):
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
        http_source = source(wire, "/m/", list=place.format(url=wire.url("/m/SHA256SUMS")))
        assert {entry.name: entry.size for entry in http_source.list("").entries} == {"svm": 0, "a b%.txt": 6}
        plan = http_source.plan("")
        assert {file.path: (file.size, file.check) for file in plan.files} == {
            name: (len(body), f"sha256:{hashlib.sha256(body).hexdigest()}") for name, body in NAMES.items()
        }
        assert all(file.version.startswith('"') for file in plan.files)
        assert content(http_source) == NAMES


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_written_on_windows_is_read(encoding: str) -> None:
    def windows(name: str) -> str:
        return ".\\" + name.replace("/", "\\")

    sums = "".join(f"{hashlib.sha256(body).hexdigest().upper()}  {windows(name)}\r\n" for name, body in NAMES.items())
    with serving(holding({**FILES, "/m/sums.txt": sums.encode(encoding)})) as wire:
        assert content(source(wire, "/m", list="sums.txt")) == NAMES


def test_the_line_of_a_list_about_itself_is_left_out() -> None:
    lines = {**{name: hashlib.sha256(body).hexdigest() for name, body in NAMES.items()}, "SHA256SUMS": "0" * 64}
    sums = "".join(f"{digest}  {name}\n" for name, digest in lines.items())
    with serving(holding({**FILES, "/m/SHA256SUMS": sums.encode()})) as wire:
        assert content(source(wire, "/m", list="SHA256SUMS")) == NAMES


@pytest.mark.parametrize(("algorithm", "pins"), [("sha512", True), ("sha384", True), ("sha1", False), ("md5", False)])
def test_other_digests_of_a_list_are_checked_and_only_strong_ones_pin_a_version(algorithm: str, pins: bool) -> None:
    def plain(head: str, connection: socket.socket) -> bool:
        connection.sendall(reply(b"" if head.startswith("HEAD") else b"model", length=5))
        return True

    digest = hashlib.new(algorithm, b"model").hexdigest()
    with serving(plain) as wire:
        files = source(wire, "/m", list=f"{digest}  model.bin").plan("").files
    assert [(file.path, file.check, bool(file.version)) for file in files] == [
        ("model.bin", f"{algorithm}:{digest}", pins)
    ]


@pytest.mark.parametrize("path", ["svm/config.pbtxt.sha256", "svm/config.pbtxt.SHA256"])
def test_a_digest_beside_a_file_makes_a_list_of_one(path: str) -> None:
    digest = f"{hashlib.sha256(CONFIG).hexdigest()}\n".encode()
    with serving(holding({**FILES, f"/m/{path}": digest})) as wire:
        http_source = source(wire, "/m", list=path)
        assert content(http_source) == {"svm/config.pbtxt": CONFIG}
        assert http_source.plan("").files[0].check == f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"


def test_credentials_do_not_go_to_another_server_for_a_list() -> None:
    with serving(holding(FILES)) as wire, serving(holding({"/list": full_list().encode()})) as other:
        http_source = HttpSource(
            {"url": wire.url("/m"), "list": other.url("/list"), "token": "hidden"},
            Site(endpoints=(wire.endpoint, other.endpoint)),
        )
        assert content(http_source) == NAMES
    assert "hidden" not in "".join(other.requests)
    assert all("Authorization: Bearer hidden" in request for request in wire.requests)


def test_a_list_at_a_server_that_nobody_may_ask_is_refused() -> None:
    error = failing(list="http://169.254.169.254/list")
    assert "is not connected to" in error.message


def test_a_size_that_the_server_contradicts_is_told() -> None:
    error = failing(list="svm/config.pbtxt 5\nsvm/1/model.py 15")
    assert error.message == "svm/config.pbtxt has 18 bytes at the server; the list says 5."


def test_a_file_shorter_than_a_list_says_is_a_change() -> None:
    with serving(holding(FILES)) as wire:
        http_source = source(wire, "/m", list=f"svm/config.pbtxt 500 {'0' * 64}\nx 1 {'0' * 64}")
        with pytest.raises(SourceChanged):
            http_source.open(http_source.plan("").files[0], "")


def test_a_file_of_a_list_that_is_missing_is_shown_as_that_and_not_copied() -> None:
    with serving(holding(FILES)) as wire:
        http_source = source(wire, "/m", list="svm/config.pbtxt\nmissing.bin")
        assert [(entry.name, entry.problem) for entry in http_source.list("").entries] == [
            ("svm", ""),
            ("missing.bin", "in the list, and not given by the server"),
        ]
        with pytest.raises(SourceError, match=r"missing\.bin cannot be read: it is in the list, and not given"):
            http_source.entry("missing.bin")
        with pytest.raises(SourceError, match=r"There is no /m/missing\.bin"):
            http_source.plan("")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("../etc/passwd 5\nb 5", "Line 1 of the list has a name that may not be"),
        ("a 5\n/etc/passwd 5", "Line 2 of the list has a name that may not be"),
        ("a/../../b 5\nb 5", "Line 1"),
        ("a 5\na 6", "a is there twice"),
        ("a 5\na/b 5", "a is a file and a folder"),
        ("a/b 5\na 5", "a is there twice"),
        ("# only this\n\n", "names no file"),
        ("a\0b 5\nb", "Line 2"),
        ("x/" * 70 + "x 5\nb 5", "folders deep"),
        ("y" * 300 + " 5\nb 5", "no folder could hold"),
        (". 5\nb 5", "names no file"),
    ],
)
def test_a_list_with_a_name_that_may_not_be_is_refused(text: str, words: str) -> None:
    error = failing(list=text)
    assert words in error.message


def test_a_list_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.sources.http.filelist.MAX_BYTES", 1 << 20)

    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(b"name 5\n" * 1000)

    with serving(answer) as wire, pytest.raises(SourceError, match="The list is longer than 1048576 bytes"):
        source(wire, "/m", list="SHA256SUMS").plan("")


def test_a_list_that_is_no_text_is_refused() -> None:
    with serving(holding({"/m/list": b"\xff\xfe\0"})) as wire, pytest.raises(SourceError, match="is not text"):
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
