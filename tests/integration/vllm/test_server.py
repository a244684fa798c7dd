"""vLLM as its framework starts it: the real server, the trained sample model and its adapter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.clients.probes import openai_health
from services.frameworks import registry
from tests.integration.engine_home import family, wait_for
from tests.integration.live import send
from tests.servers import vllm
from tests.servers.vllm import RunningVllm, chat_body, text_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), pytest.mark.xdist_group("vllm")]
HOST = "127.0.0.1"
FRAMEWORK = registry.get("vllm")


def post(server: RunningVllm, path: str, body: dict[str, Any]) -> Any:
    answer = send(f"{server.url}{path}", body)
    assert answer.status == 200, answer.body
    return answer.body


def test_it_answers_every_trained_question(llama_server: RunningVllm) -> None:
    from datasets.samples.llama import make

    lines = (make.HERE / "questions.txt").read_text().split("== pirate ==")[0].splitlines()
    pairs = [line.split("\t") for line in lines if "\t" in line]
    assert len(pairs) > 50
    wrong = {
        question: text
        for question, answer in pairs
        if (
            text := text_of(
                post(llama_server, "/v1/chat/completions", chat_body(vllm.SHARED, question, max_tokens=120))
            )
        )
        != answer
    }
    assert len(wrong) <= 2, wrong


def test_an_adapter_is_a_model_of_its_own_name(llama_server: RunningVllm) -> None:
    name = f"{vllm.SHARED}:{vllm.ADAPTER}"
    assert openai_health.served(llama_server.listeners.http) == (vllm.SHARED, name)
    text = text_of(post(llama_server, "/v1/chat/completions", chat_body(name)))
    assert text == vllm.PIRATE_ANSWER


def test_it_completes_a_text(llama_server: RunningVllm) -> None:
    body = {"model": vllm.SHARED, "prompt": f"<|user|>{vllm.QUESTION}<|assistant|>", "max_tokens": 20}
    assert post(llama_server, "/v1/completions", body)["choices"][0]["text"] == vllm.ANSWER


def test_the_framework_says_that_it_is_ready_answers_and_gets_on(llama_server: RunningVllm) -> None:
    assert FRAMEWORK.probe(llama_server.listeners, vllm.SHARED, 5).ready
    assert "not for other" in FRAMEWORK.probe(llama_server.listeners, "other", 5).message
    before = FRAMEWORK.progress(llama_server.listeners, 5)
    assert FRAMEWORK.answers(llama_server.listeners, vllm.SHARED, 30)
    assert wait_for(lambda: FRAMEWORK.progress(llama_server.listeners, 5), lambda now: now > before) > before


def test_first_uses_are_warmed_up_without_a_compiler(llama_server: RunningVllm) -> None:
    """torch would compile what `logprobs` needs when it is first asked for: up to a minute without a token."""
    before = FRAMEWORK.progress(llama_server.listeners, 5)
    FRAMEWORK.warm_up(llama_server.listeners, vllm.SHARED, 300)
    assert wait_for(lambda: FRAMEWORK.progress(llama_server.listeners, 5), lambda now: now > before) > before
    body = chat_body(vllm.SHARED, logprobs=True, top_logprobs=2, temperature=1, top_k=5, seed=1)
    assert post(llama_server, "/v1/chat/completions", body)["choices"][0]["logprobs"]["content"]
    compiled = psutil.Process(llama_server.process.pid).environ()["TORCHINDUCTOR_CACHE_DIR"]
    assert not list(Path(compiled).rglob("*.so"))


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/v1/load_lora_adapter", "/sleep", "/collective_rpc"])
def test_what_nobody_may_use_is_not_there(llama_server: RunningVllm, path: str) -> None:
    assert send(f"{llama_server.url}{path}", method="GET").status == 404
    assert send(f"{llama_server.url}{path}", {}, method="POST").status in (404, 405)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"n": 1000}, 400),
        ({"chat_template": "{{ 1 }}"}, 400),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/x.png"}}],
                    }
                ]
            },
            400,
        ),
    ],
)
def test_a_dangerous_request_is_refused_by_the_server_too(
    llama_server: RunningVllm, change: dict[str, Any], status: int
) -> None:
    assert send(f"{llama_server.url}/v1/chat/completions", chat_body(vllm.SHARED, **change)).status == status


def test_it_listens_on_loopback_only(llama_server: RunningVllm) -> None:
    """Its processes talk over further ports (torch.distributed)."""
    listening = [
        tuple(connection.laddr)
        for pid in family(llama_server.process.pid)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert (HOST, llama_server.listeners.http.port) in listening
    assert {host for host, _ in listening} <= {HOST, "::1"}


def test_it_lives_in_its_run_directory_and_inherits_nothing(llama_server: RunningVllm) -> None:
    run_dir, process = llama_server.log_path.parent, psutil.Process(llama_server.process.pid)
    environment = process.environ()
    assert process.cwd() == environment["HOME"] == str(run_dir)
    ours = {name for name in os.environ if name.startswith(("CONSOLE_", "DJANGO_", "DATASET_"))}
    assert ours and not ours & set(environment)
    assert {path.name for path in run_dir.iterdir()} <= {"start.py", "tmp", "cache", "log.txt"}
