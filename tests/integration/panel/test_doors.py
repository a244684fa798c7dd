"""The test panel over every protocol, through the whole running stack, and the snippets that it gives run as pasted.

V2 is in test_probe. The clients that others wrote have an environment of their own (tests/clients.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import playwright
import pytest

from console.first_run import example
from tests import clients
from tests.integration.live import Live, send
from tests.servers.vllm import ANSWER, NAME, QUESTION

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("live-text")]


def probe(live: Live, service: str, **payload: Any) -> dict[str, Any]:
    answer = live.api(f"services/{service}/probe/", payload, method="POST")
    assert answer.status == 200, answer.body
    results: dict[str, Any] = answer.body
    assert live.key not in json.dumps(results) and "isk_" not in json.dumps(results).replace("isk_...", "")
    return results


def run(argv: list[Any], snippet: str, live: Live, directory: Path) -> str:
    kept = {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8", "NO_PROXY": "*"}
    env = {**kept, "API_KEY": live.key}
    done = subprocess.run(
        [*argv, snippet], env=env, cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{snippet}\n{done.stderr[-2000:]}"
    return done.stdout


def node() -> str:
    """The machine's Chromium, or the one that playwright brings."""
    return shutil.which("node") or str(Path(playwright.__file__).parent / "driver" / "node")


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [example.PIXELS]},
        {"instances": [{"predict": example.PIXELS}]},
        {"inputs": [example.PIXELS]},
    ],
    ids=["rows", "named rows", "columns"],
)
def test_kserve_v1_answers_8(live: Live, body: dict[str, Any]) -> None:
    result = probe(live, example.NAME, protocol="v1", **body)
    assert result["ok"], result["error"]
    (output,) = result["outputs"]
    assert output["name"] == ("predictions" if "instances" in body else "outputs") and output["values"] == [8.0]
    assert result["timing"]["wait_ms"] > 0


def test_a_v1_request_that_does_not_fit_is_refused_in_words(live: Live) -> None:
    result = probe(live, example.NAME, protocol="v1", instances=[[1, 2, 3]])
    assert result["status"] == "400 Bad Request" and result["error"] and result["hint"]


def test_the_snippets_of_kserve_v1_and_tensorflow_serving_run_as_pasted(live: Live, tmp_path: Path) -> None:
    snippets = probe(live, example.NAME, protocol="v1", instances=[example.PIXELS])["snippets"]
    assert json.loads(run(["bash", "-euc"], snippets["curl"], live, tmp_path)) == {"predictions": [8.0]}
    assert run([sys.executable, "-P", "-c"], snippets["python_v1"], live, tmp_path).strip() == "[8.0]"
    stubs = clients.python("clients-tensorflow")
    assert "float_val" in run([stubs, "-P", "-c"], snippets["python_tfserving"], live, tmp_path)


def chat(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 64, "temperature": 0, **more}


@pytest.mark.parametrize("protocol", ["openai", "grpc"])
@pytest.mark.parametrize("stream", [False, True])
def test_text_is_generated_over_either_protocol(live_llm: Live, protocol: str, stream: bool) -> None:
    result = probe(live_llm, NAME, protocol=protocol, stream=stream, **chat())
    assert result["ok"], result["error"]
    assert result["text"].strip() == ANSWER
    assert result["usage"]["prompt_tokens"] > 0 and result["usage"]["completion_tokens"] > 3
    timing = result["timing"]
    assert (timing["first_token_ms"] is not None) is stream and timing["tokens_per_second"] > 0
    if stream:
        assert 0 < timing["first_token_ms"] < timing["wait_ms"]


def test_a_prompt_that_is_too_long_is_refused_with_what_to_do(live_llm: Live) -> None:
    result = probe(live_llm, NAME, protocol="openai", **chat(max_tokens=1 << 20))
    assert result["status"] == "400 Bad Request" and result["hint"], result


@pytest.mark.parametrize("stream", [False, True])
def test_the_snippets_of_text_run_as_pasted(live_llm: Live, tmp_path: Path, stream: bool) -> None:
    snippets = probe(live_llm, NAME, protocol="openai", stream=stream, **chat())["snippets"]
    output = run(["bash", "-euc"], snippets["curl"], live_llm, tmp_path)
    if stream:
        assert output.rstrip().endswith("data: [DONE]")
    else:
        assert json.loads(output)["choices"][0]["message"]["content"].strip() == ANSWER
    assert run([clients.python(), "-P", "-c"], snippets["python_openai"], live_llm, tmp_path).strip() == ANSWER
    assert run([sys.executable, "-P", "-c"], snippets["python_grpc"], live_llm, tmp_path).strip() == ANSWER
    javascript = [node(), "--input-type=module", "-e"]
    assert run(javascript, snippets["javascript"], live_llm, tmp_path).strip() == ANSWER


def test_each_address_of_the_service_answers(live_llm: Live) -> None:
    endpoints = live_llm.service(NAME)["endpoints"]
    (door,) = [door for door in endpoints["doors"] if door["door"] == "openai"]
    for url in (door["url"], door["prefixed"], door["by_host"]):
        # *.localhost is this machine, but not every resolver knows.
        host, path = url.removeprefix("http://").split("/", 1)
        headers = {"Host": host, "Authorization": f"Bearer {live_llm.key}"}
        answer = send(f"{live_llm.gateway}/{path}", {"model": NAME, **chat()}, headers=headers)
        assert answer.status == 200, (url, answer.body)
