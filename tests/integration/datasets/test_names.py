"""Names as people have them, through every kind of dataset and its real server: browsed, planned and copied."""

from __future__ import annotations

import hashlib
import io
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datasets.preheat.copying.copy import copy
from datasets.preheat.journal import Staging, key_of
from datasets.sources import registry
from datasets.sources.base import Site, Source
from tests.servers import web
from tests.servers.hub import Hub, hub
from tests.servers.s3 import Server

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("s3")]

FOLDERS = ["models ", " models", "two  blanks", "v1.0.", "-rf", "~home", "100%", "a+b", "c#d", "e?f", "g&h=i;j,k"]
NAMES = [
    "model.onnx ",
    " model.onnx",
    "model  two.onnx",
    "tab\there",
    "plus+plus",
    "per%20cent",
    "hash#tag",
    "what?",
    "dot.",
    "-dash",
    "~tilde",
    "'single'",
    '"double"',
    "$(dollar)",
    "`tick`",
    "br[ac]ket*",
    "new\nline",
    "模型🤖",
    "a;b|c<d>e",
    unicodedata.normalize("NFC", "modèle"),
    unicodedata.normalize("NFD", "modèle"),
    "CASE",
    "case",
    "n" * 255,
    "ü" * 127,
]
BACKSLASH = "back\\slash"
TREE = {f"{folder}/{name}": f"{folder} {name}".encode() for folder in FOLDERS for name in NAMES[:4]}
TREE |= {f"models /{name}": f"content of {name}".encode() for name in NAMES}
Make = Callable[[str, dict[str, bytes]], Source]


def write(folder: Path, tree: dict[str, bytes]) -> Path:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def listed(folder: Path) -> str:
    """As sha256sum writes it, which escapes what would not fit into a line."""
    lines = []
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "SHA256SUMS":
            name = path.relative_to(folder).as_posix()
            escaped = name.replace("\\", "\\\\").replace("\n", "\\n")
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[web.Server]:
    """Serves all folders of `make`."""
    root = tmp_path_factory.getbasetemp()
    server = web.Server("ranges", root, root / "web.log")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with hub(tmp_path_factory.mktemp("hub") / "hub") as server:
        yield server


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, s3_server: Server, web_server: web.Server, hub_server: Hub) -> Make:
    """A source of a kind that has these files."""

    def make_source(kind: str, tree: dict[str, bytes]) -> Source:
        folder = tmp_path_factory.mktemp("served")
        if kind == "local":
            write(folder, tree)
            return registry.make("local", {"path": str(folder)}, Site(roots=(folder.parent,)))
        if kind == "s3":
            bucket = s3_server.bucket()
            bucket.put_all(tree)
            return registry.make("s3", bucket.options, Site(endpoints=("127.0.0.1",)))
        if kind == "huggingface":
            hub_server.push(f"org/{folder.name}", write(folder / "files", tree))
            options = {"repository": f"org/{folder.name}", "endpoint": hub_server.url}
            return registry.make("huggingface", options, Site(endpoints=hub_server.endpoints))
        url = f"http://127.0.0.1:{web_server.port}/{folder.name}"
        options = {"url": f"{url}/{'' if kind == 'list' else f'm.{kind}'}"}
        if kind == "list":
            (write(folder, tree) / "SHA256SUMS").write_text(listed(folder))
            options["list"] = "SHA256SUMS"
        elif kind == "tar":
            with tarfile.open(folder / "m.tar", "w") as tar:
                for name, content in tree.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        else:
            with zipfile.ZipFile(folder / "m.zip", "w") as archive:
                for name, content in tree.items():
                    archive.writestr(name, content)
        return registry.make("http", options, Site(endpoints=("127.0.0.1",)))

    return make_source


KINDS = ["local", "s3", "list", "tar", "zip", "huggingface"]


def copied(source: Source, path: str, staging: Path) -> dict[str, bytes]:
    """What a round would have: the bytes of each file of the plan."""
    plan = source.plan(path)
    with Staging(staging) as held:
        copy(plan, source, path, held)
        return {file.path: held.part(key_of(file)).read_bytes() for file in plan.files}


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_arrives_as_it_is(kind: str, make: Make, tmp_path: Path) -> None:
    source = make(kind, TREE)
    assert {entry.name for entry in source.list("").entries if entry.is_dir} == set(FOLDERS)
    for folder in FOLDERS:
        inside = {name.partition("/")[2] for name in TREE if name.startswith(f"{folder}/")}
        entries = source.list(folder).entries
        assert {entry.name for entry in entries} == inside and not any(entry.problem for entry in entries)
    for name, content in TREE.items():
        assert source.entry(name).size == len(content)
        assert source.read(name, 1000) == content
    assert copied(source, "", tmp_path / "all") == TREE
    for folder in ("models ", " models"):
        inside_of = {n.partition("/")[2]: content for n, content in TREE.items() if n.startswith(f"{folder}/")}
        assert copied(source, folder, tmp_path / f"part-{FOLDERS.index(folder)}") == inside_of
    one = f"models /{NAMES[0]}"
    assert copied(source, one, tmp_path / "one") == {NAMES[0]: TREE[one]}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "s3"])  # see test_listing.py: it is refused there
def test_a_backslash_is_a_letter_of_a_name(kind: str, make: Make, tmp_path: Path) -> None:
    assert copied(make(kind, {f"m/{BACKSLASH}": b"x"}), "m", tmp_path / "m") == {BACKSLASH: b"x"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_systems_and_tools_leave_behind_is_left_out_of_every_kind(kind: str, make: Make, tmp_path: Path) -> None:
    model = {"m/config.pbtxt": b"x", "m/1/model.onnx": b"y", "m/.gitattributes": b"z"}
    extra = {
        "m/.DS_Store": b"1",
        "m/1/._model.onnx": b"2",
        "m/.git/config": b"3",
        "m/1/model.onnx.part": b"4",
        "m/2/model.py~": b"5",
        "__MACOSX/m/._config.pbtxt": b"6",
    }
    source = make(kind, model | extra)
    plan = source.plan("m")
    assert {item.path: item.reason for item in plan.left_out} == {
        ".DS_Store": "made by macOS",
        "1/._model.onnx": "made by macOS",
        ".git": "the history of a version control",
        "1/model.onnx.part": "an upload or download that has not ended",
        "2/model.py~": "an editor's backup",
    }
    assert plan.empty_dirs == ("2",)
    assert copied(source, "", tmp_path / "all") == model
    assert {entry.name: entry.left_out for entry in source.list("m").entries if entry.left_out} == {
        ".DS_Store": "made by macOS",
        ".git": "the history of a version control",
    }
    assert copied(source, "m/1/model.onnx.part", tmp_path / "one") == {"model.onnx.part": b"4"}


def test_a_prefix_of_a_bucket_keeps_its_blanks(s3_server: Server, tmp_path: Path) -> None:
    bucket = s3_server.bucket()
    prefixes = ["models", "models ", " models", "models / inner ", "~home"]
    bucket.put_all({f"{prefix}/m": prefix.encode() for prefix in prefixes})
    for number, prefix in enumerate([*prefixes, "/models /"]):
        source = registry.make("s3", {**bucket.options, "prefix": prefix}, Site(endpoints=("127.0.0.1",)))
        content = prefix.strip("/").encode()
        assert source.read("m", 100) == content
        assert copied(source, "", tmp_path / str(number))["m"] == content


def test_a_prefix_that_names_nothing_says_that_it_ends_in_a_blank(s3_server: Server) -> None:
    bucket = s3_server.bucket()
    bucket.put("models/m", b"x")
    source = registry.make("s3", {**bucket.options, "prefix": "models "}, Site(endpoints=("127.0.0.1",)))
    assert "nothing in it yet. A folder in it has a blank at its end" in source.check()
