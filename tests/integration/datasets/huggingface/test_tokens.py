"""Whose token goes where, and that nothing of this machine is used."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from console.home import CHECKOUT
from tests.integration.datasets.huggingface.asking import Make, named, refused, whole
from tests.servers.hub import Hub

pytestmark = pytest.mark.integration


def test_a_token_goes_to_the_hub_and_to_nobody_else(server: Hub, source: Make, model: Path) -> None:
    server.push("org/private", model, private=True, readers=["hf_in"])
    repository = source("org/private", token="hf_in")
    repository.check()
    for file in repository.plan("").files:
        whole(repository, file)
    assert {line["authorization"] for line in server.requests("hub")} == {"Bearer hf_in"}
    assert {line["authorization"] for line in server.requests("cdn")} == {""}
    assert "hf_in" not in "".join(line["path"] for line in server.requests())


def test_a_token_does_not_follow_the_api_to_another_server(server: Hub, source: Make, model: Path) -> None:
    server.push("org/private", model, private=True, readers=["hf_in"])
    elsewhere = f"http://127.0.0.1:{server.cdn_port}/elsewhere"
    repository = source("org/private", token="hf_in")
    config = named(repository.plan(""), "config.json")
    calls: dict[str, Callable[[], Any]] = {
        "/revision/": lambda: repository.plan(""),
        "/tree/": lambda: repository.plan(""),
        "/paths-info/": lambda: repository.plan("config.json"),
        "/resolve/": lambda: repository.open(config, ""),
    }
    for match, call in calls.items():
        server.forget_requests()
        server.set(faults=[{"match": match, "status": 307, "headers": {"Location": elsewhere}}])
        refused(call)
        assert {line["authorization"] for line in server.requests("cdn")} == {""}, match


def test_two_sources_at_once_do_not_mix_their_tokens(server: Hub, source: Make, model: Path) -> None:
    server.push("org/one", model, private=True, readers=["hf_in"])
    server.push("org/two", model, private=True, readers=["hf_out"])
    begin = threading.Barrier(6)

    def run(repository: str, token: str) -> None:
        begin.wait(20)
        for _ in range(5):
            source(repository, token=token).plan("")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, ["org/one", "org/two"] * 3, ["hf_in", "hf_out"] * 3))
    seen = {("one" if "org/one" in line["path"] else "two", line["authorization"]) for line in server.requests("hub")}
    assert seen == {("one", "Bearer hf_in"), ("two", "Bearer hf_out")}


def test_no_cookie_of_a_server_comes_back_to_it(server: Hub, source: Make) -> None:
    repository = source()
    server.set(faults=[{"match": "/revision/", "status": 503, "headers": {"Set-Cookie": "who=me; Path=/"}}])
    refused(repository.check)
    server.set(faults=[])
    repository.check()
    assert {line["cookie"] for line in server.requests()} == {""}


PROGRAM = """
import hashlib, sys
from datasets.sources.base import Site
from datasets.sources.huggingface.source import HuggingFaceSource

options = {"repository": sys.argv[1], "endpoint": sys.argv[2], "token": sys.argv[3]}
source = HuggingFaceSource(options, Site(endpoints=("127.0.0.1",)))
source.check()
for file in source.plan("").files:
    with source.open(file, "") as body:
        print(hashlib.sha256(body.readall()).hexdigest())
"""


def alone(*arguments: str, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """PROGRAM in a process that starts with those settings, since the official client reads them when it is loaded."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **settings},
    )
    assert result.returncode == 0, result.stderr
    return result


def test_nothing_of_this_machines_own_settings_is_used_and_nothing_is_written(
    server: Hub, model: Path, tmp_path: Path
) -> None:
    server.push("org/model", model)
    home = tmp_path / "home"
    (home / "hf").mkdir(parents=True)
    (home / "hf" / "token").write_text("hf_saved")
    nowhere = "http://127.0.0.1:1"
    result = alone(
        "org/model",
        server.url,
        "",
        home=home,
        HF_HOME=str(home / "hf"),
        HF_TOKEN="hf_environment",
        HF_ENDPOINT=nowhere,
        HF_HUB_OFFLINE="1",
        HF_DEBUG="1",
        HF_HUB_USER_AGENT_ORIGIN="here",
        HTTP_PROXY=nowhere,
        HTTPS_PROXY=nowhere,
        ALL_PROXY=nowhere,
        http_proxy=nowhere,
    )
    expected = [path.read_bytes() for path in sorted(model.rglob("*")) if path.is_file()]
    assert sorted(result.stdout.split()) == sorted(hashlib.sha256(content).hexdigest() for content in expected)
    assert {line["authorization"] for line in server.requests()} == {""}
    assert {line["agent"] for line in server.requests()} == {"inference-console"}
    assert [path.name for path in home.rglob("*") if path.is_file()] == ["token"]
    assert "hf_" not in result.stderr


def test_a_server_that_the_official_client_trusts_by_itself_does_not_get_the_token(
    server: Hub, model: Path, tmp_path: Path
) -> None:
    # It follows redirects to HF_ENDPOINT, and to the real Hub, with the token of the server that it was asked to use.
    server.push("org/private", model, private=True, readers=["hf_in"])
    storage = f"http://127.0.0.1:{server.cdn_port}"
    alone("org/private", server.url, "hf_in", home=tmp_path, HF_ENDPOINT=storage)
    assert {line["method"] for line in server.requests("cdn")} == {"GET", "HEAD"}
    assert {line["authorization"] for line in server.requests("cdn")} == {""}


def test_a_worker_that_is_forked_speaks_over_connections_of_its_own(source: Make) -> None:
    assert source().check()  # the parent has a client, with connections

    child = os.fork()
    if not child:
        failed = 1
        try:
            failed = 0 if source().plan("").files else 1
        finally:
            os._exit(failed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert source().check()
