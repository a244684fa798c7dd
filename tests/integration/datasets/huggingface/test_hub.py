"""The Hub of the tests is one that the official client takes for the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
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


def client(server: Hub, home: Path, program: str, *arguments: str, token: str = "") -> Any:
    """What a Python process of its own prints (JSON), with a home that holds nothing yet."""
    result = subprocess.run(
        [sys.executable, "-c", f"import json, sys\nfrom huggingface_hub import *\n{program}", *arguments],
        capture_output=True,
        text=True,
        cwd=home,
        timeout=60,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": server.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **({"HF_TOKEN": token} if token else {}),
        },
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def same(first: Path, second: Path) -> bool:
    names = [sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file()) for root in (first, second)]
    return names[0] == names[1] and all((first / n).read_bytes() == (second / n).read_bytes() for n in names[0])


@pytest.mark.parametrize("xet", [False, True])
def test_the_official_client_downloads_a_whole_repository(server: Hub, model: Path, tmp_path: Path, xet: bool) -> None:
    server.push("org/whole", model, xet=xet)
    got = client(server, tmp_path, "print(json.dumps(snapshot_download('org/whole')))")
    assert same(model, Path(got))


def test_the_official_client_checks_what_it_downloaded_against_the_listing(
    server: Hub, model: Path, tmp_path: Path
) -> None:
    server.push("org/sums", model)
    output = client(
        server,
        tmp_path,
        """
snapshot_download('org/sums')
found = HfApi().verify_repo_checksums('org/sums')
print(json.dumps([found.checked_count, len(found.mismatches), found.missing_paths]))""",
    )
    assert output == [4, 0, []]


def test_the_official_client_downloads_one_file_of_a_branch_and_of_an_old_commit(
    server: Hub, model: Path, tmp_path: Path
) -> None:
    first = server.push("org/moves", model)
    (model / "config.json").write_text("{}\n")
    second = server.push("org/moves", model)
    program = "print(json.dumps(open(hf_hub_download('org/moves', 'config.json', revision=sys.argv[1])).read()))"
    assert first != second
    assert client(server, tmp_path, program, "main") == "{}\n"
    assert client(server, tmp_path, program, first) == '{"architectures": ["Some"]}\n'


def test_the_official_client_follows_the_pages_of_a_listing(server: Hub, tmp_path: Path) -> None:
    many = tmp_path / "many"
    for number in range(25):
        (many / f"{number % 5}").mkdir(parents=True, exist_ok=True)
        (many / f"{number % 5}" / f"{number}.txt").write_text(str(number))
    server.push("org/many", many)
    server.set(page=7)
    try:
        listed = client(
            server,
            tmp_path,
            """
api = HfApi()
files = [f.path for f in api.list_repo_tree('org/many', recursive=True) if hasattr(f, 'blob_id')]
top = [f.path for f in api.list_repo_tree('org/many')]
paths = [f.path for f in api.get_paths_info('org/many', ['0', '1/6.txt', 'none'])]
print(json.dumps([sorted(files), sorted(top), sorted(paths)]))""",
        )
    finally:
        server.set(page=1000)
    assert listed == [
        sorted(f"{n % 5}/{n}.txt" for n in range(25)),
        ["0", "1", "2", "3", "4"],
        ["0", "1/6.txt"],
    ]


def test_the_official_client_knows_its_errors(server: Hub, model: Path, tmp_path: Path) -> None:
    server.set(tokens=["hf_in", "hf_out"])
    server.push("org/gated", model, gated=True, readers=["hf_in"])
    server.push("org/private", model, private=True, readers=["hf_in"])
    server.push("org/open", model)
    program = """
from huggingface_hub.errors import *
said = []
for what in (lambda: hf_hub_download('org/gated', 'config.json'), lambda: model_info('org/private'),
             lambda: model_info('org/none'), lambda: model_info('org/open', revision='none'),
             lambda: list(list_repo_tree('org/open', 'none')), lambda: hf_hub_download('org/open', 'none.txt'),
             lambda: auth_check('org/gated')):
    try:
        what()
        said.append("")
    except Exception as error:
        said.append(type(error).__name__)
print(json.dumps(said))"""
    assert client(server, tmp_path, program, token="hf_out") == [
        "GatedRepoError",
        "RepositoryNotFoundError",
        "RepositoryNotFoundError",
        "RevisionNotFoundError",
        "RemoteEntryNotFoundError",
        "RemoteEntryNotFoundError",
        "GatedRepoError",
    ]
    assert client(server, tmp_path, program, token="hf_in")[:2] == ["", ""]
    wrong = client(
        server,
        tmp_path,
        """
from huggingface_hub.errors import *
try:
    model_info('org/open')
except HfHubHTTPError as error:
    print(json.dumps([error.response.status_code, error.server_message]))""",
        token="hf_nobody",
    )
    assert wrong == [401, "Invalid credentials in Authorization header"]


def test_a_signed_url_of_the_storage_expires(server: Hub, model: Path, tmp_path: Path) -> None:
    server.push("org/signed", model)
    url = client(
        server,
        tmp_path,
        """
print(json.dumps(get_hf_file_metadata(hf_hub_url('org/signed', 'model.safetensors')).location))""",
    )
    request = urllib.request.Request(url, headers={"Range": "bytes=5-9"})
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.headers["Content-Range"]) == (206, "bytes 5-9/300000")
        assert answer.read() == (model / "model.safetensors").read_bytes()[5:10]
    server.set(cdn_key="another")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403
