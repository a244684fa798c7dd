"""The Hub of the tests is one that the official client takes for the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.hub import Hub, hub

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with hub(tmp_path_factory.mktemp("hub")) as fake_hub:
        yield fake_hub


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "sub dir").mkdir(parents=True)
    (root / "config.json").write_text('{"architectures": ["Some"]}\n')
    (root / "sub dir" / "ünï #1?.txt").write_text("a name that URLs must quote\n")
    (root / "model.safetensors").write_bytes(os.urandom(300_000))
    (root / "empty.txt").write_bytes(b"")
    return root


LOOP = """
import json, os, sys, traceback
from huggingface_hub import *
from huggingface_hub.errors import *
for line in sys.stdin:
    program, os.environ["HF_TOKEN"] = json.loads(line)
    scope = dict(globals())
    try:
        exec(program, scope)
        answer = {"result": scope["result"]}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""
Client = Callable[..., Any]


@pytest.fixture(scope="module")
def client(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Runs a program in a process that has the client, with a home of its own. Returns its variable `result`."""
    home = tmp_path_factory.mktemp("home")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": server.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    command = [sys.executable, "-c", LOOP]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=home, env=env
    ) as process:
        assert process.stdin and process.stdout
        questions, answers = process.stdin, process.stdout

        def run(program: str, token: str = "") -> Any:
            print(json.dumps([program, token]), file=questions, flush=True)
            answer = json.loads(answers.readline())
            assert "result" in answer, answer
            return answer["result"]

        yield run
        questions.close()


def same(first: Path, second: Path) -> bool:
    names = [sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file()) for root in (first, second)]
    return names[0] == names[1] and all((first / n).read_bytes() == (second / n).read_bytes() for n in names[0])


@pytest.mark.parametrize("xet", [False, True])
def test_the_official_client_downloads_a_whole_repository_and_checks_it_against_the_listing(
    server: Hub, model: Path, client: Client, xet: bool
) -> None:
    server.push(f"org/whole-{xet}", model, xet=xet)
    program = """
path = snapshot_download(REPO)
report = HfApi().verify_repo_checksums(REPO)
result = [path, report.checked_count, len(report.mismatches), report.missing_paths]"""
    path, *checked = client(program.replace("REPO", f"'org/whole-{xet}'"))
    assert same(model, Path(path))
    assert checked == [4, 0, []]


def test_the_official_client_downloads_one_file_of_a_branch_and_of_an_old_commit(
    server: Hub, model: Path, client: Client
) -> None:
    first = server.push("org/moves", model)
    (model / "config.json").write_text("{}\n")
    second = server.push("org/moves", model)
    program = "result = open(hf_hub_download('org/moves', 'config.json', revision='REVISION')).read()"
    assert first != second
    assert client(program.replace("REVISION", "main")) == "{}\n"
    assert client(program.replace("REVISION", first)) == '{"architectures": ["Some"]}\n'


def test_the_official_client_follows_the_pages_of_a_listing(server: Hub, tmp_path: Path, client: Client) -> None:
    many = tmp_path / "many"
    for number in range(25):
        (many / f"{number % 5}").mkdir(parents=True, exist_ok=True)
        (many / f"{number % 5}" / f"{number}.txt").write_text(str(number))
    server.push("org/many", many)
    server.set(page=7)
    try:
        listed = client("""
api = HfApi()
files = [f.path for f in api.list_repo_tree('org/many', recursive=True) if hasattr(f, 'blob_id')]
top = [f.path for f in api.list_repo_tree('org/many')]
paths = [f.path for f in api.get_paths_info('org/many', ['0', '1/6.txt', 'none'])]
result = [sorted(files), sorted(top), sorted(paths)]""")
    finally:
        server.set(page=1000)
    assert listed == [
        sorted(f"{n % 5}/{n}.txt" for n in range(25)),
        ["0", "1", "2", "3", "4"],
        ["0", "1/6.txt"],
    ]


def test_the_official_client_knows_its_errors(server: Hub, model: Path, client: Client) -> None:
    server.set(tokens=["hf_in", "hf_out"])
    server.push("org/gated", model, gated=True, readers=["hf_in"])
    server.push("org/private", model, private=True, readers=["hf_in"])
    server.push("org/open", model)
    program = """
result = []
for call in ("hf_hub_download('org/gated', 'config.json')", "model_info('org/private')", "model_info('org/none')",
             "model_info('org/open', revision='none')", "list(list_repo_tree('org/open', 'none'))",
             "hf_hub_download('org/open', 'none.txt')", "auth_check('org/gated')"):
    try:
        eval(call)
        result.append("")
    except Exception as error:
        result.append(type(error).__name__)"""
    assert client(program, token="hf_out") == [
        "GatedRepoError",
        "RepositoryNotFoundError",
        "RepositoryNotFoundError",
        "RevisionNotFoundError",
        "RemoteEntryNotFoundError",
        "RemoteEntryNotFoundError",
        "GatedRepoError",
    ]
    assert client(program, token="hf_in")[:2] == ["", ""]
    program = """
try:
    model_info('org/open')
except HfHubHTTPError as error:
    result = [error.response.status_code, error.server_message]"""
    assert client(program, token="hf_nobody") == [401, "Invalid credentials in Authorization header"]


def test_a_signed_url_of_the_storage_expires(server: Hub, model: Path, client: Client) -> None:
    server.push("org/signed", model)
    url = client("result = get_hf_file_metadata(hf_hub_url('org/signed', 'model.safetensors')).location")
    request = urllib.request.Request(url, headers={"Range": "bytes=5-9"})
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.headers["Content-Range"]) == (206, "bytes 5-9/300000")
        assert answer.read() == (model / "model.safetensors").read_bytes()[5:10]
    server.set(cdn_key="another")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403
