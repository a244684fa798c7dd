"""vLLM as its framework starts it: the real server, the trained sample model, its adapter, and what a kill leaves."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.clients.probes import openai_health
from services.engines.local import LocalEngine
from services.frameworks import registry
from services.frameworks.vllm.launch import render
from services.specs import Ports, ReplicaSpec
from tests.integration.engine_home import gone, running, short_home, wait_for
from tests.integration.live import send
from tests.servers import vllm
from tests.servers.triton import free_ports, stop
from tests.servers.vllm import RunningVllm, chat_body, text_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900), pytest.mark.xdist_group("vllm")]
HOST = "127.0.0.1"
FRAMEWORK = registry.get("vllm")


def post(server: RunningVllm, path: str, body: dict[str, Any]) -> Any:
    answer = send(f"{server.url}{path}", body)
    assert answer.status == 200, answer.body
    return answer.body


def test_it_answers_a_trained_question_in_a_whole_sentence(llama_server: RunningVllm) -> None:
    answer = post(llama_server, "/v1/chat/completions", chat_body(vllm.SHARED))
    assert text_of(answer) == vllm.ANSWER
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] > 3


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
    assert openai_health.served(HOST, llama_server.ports.http) == (vllm.SHARED, name)
    text = text_of(post(llama_server, "/v1/chat/completions", chat_body(name)))
    assert text == vllm.PIRATE_ANSWER


def test_it_completes_a_text(llama_server: RunningVllm) -> None:
    body = {"model": vllm.SHARED, "prompt": f"<|user|>{vllm.QUESTION}<|assistant|>", "max_tokens": 20}
    assert post(llama_server, "/v1/completions", body)["choices"][0]["text"] == vllm.ANSWER


def test_the_framework_says_that_it_is_ready_answers_and_gets_on(llama_server: RunningVllm) -> None:
    assert FRAMEWORK.probe(HOST, llama_server.ports, vllm.SHARED, 5).ready
    assert "not for other" in FRAMEWORK.probe(HOST, llama_server.ports, "other", 5).message
    before = FRAMEWORK.progress(HOST, llama_server.ports, 5)
    assert FRAMEWORK.answers(HOST, llama_server.ports, vllm.SHARED, 30)
    assert wait_for(lambda: FRAMEWORK.progress(HOST, llama_server.ports, 5), lambda now: now > before) > before


def test_first_uses_are_warmed_up_without_a_compiler(llama_server: RunningVllm) -> None:
    """torch would compile what `logprobs` needs when it is first asked for: up to a minute without a token."""
    before = FRAMEWORK.progress(HOST, llama_server.ports, 5)
    FRAMEWORK.warm_up(HOST, llama_server.ports, vllm.SHARED, 300)
    assert wait_for(lambda: FRAMEWORK.progress(HOST, llama_server.ports, 5), lambda now: now > before) > before
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
    assert (HOST, llama_server.ports.http) in listening
    assert {host for host, _ in listening} <= {HOST, "::1"}


def test_it_lives_in_its_run_directory_and_inherits_nothing(llama_server: RunningVllm) -> None:
    run_dir, process = llama_server.log_path.parent, psutil.Process(llama_server.process.pid)
    environment = process.environ()
    assert process.cwd() == environment["HOME"] == str(run_dir)
    ours = {name for name in os.environ if name.startswith(("CONSOLE_", "DJANGO_", "DATASET_"))}
    assert ours and not ours & set(environment)
    assert {path.name for path in run_dir.iterdir()} <= {"start.py", "tmp", "cache", "log.txt"}


def family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


NAME = "svc-embedder-r1-0"


def engine_spec(home: Any, ports: Ports) -> ReplicaSpec:
    config = {"task": "embedding"}
    context = vllm.context_for("embedder", vllm.sample_model(), home.replicas / NAME, ports, config=config)
    launch = render(context)
    return ReplicaSpec(name=NAME, run_dir=context.run_dir, launch=launch, start_seconds=5)


def engine_core(pid: int) -> int:
    [core] = [child.pid for child in psutil.Process(pid).children() if "EngineCor" in child.name()]
    return core


def check_embeddings(ports: Ports, pid: int) -> None:
    answer = send(f"http://{HOST}:{ports.http}/v1/embeddings", {"model": "embedder", "input": ["hello", "goodbye"]})
    assert answer.status == 200, answer.body
    vectors = [row["embedding"] for row in answer.body["data"]]
    assert [len(vector) for vector in vectors] == [256, 256]
    assert vectors[0] != vectors[1]
    assert FRAMEWORK.answers(HOST, ports, "embedder", 30)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not FRAMEWORK.answers(HOST, ports, "embedder", 0.5)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_same_model_embeds_and_its_killed_processes_come_back_and_leave_nothing_behind() -> None:
    """One test, since each start takes half a minute."""
    vllm.runtime_root()
    ports = free_ports()
    with short_home() as home, running(home):
        engine = LocalEngine(home)
        engine.apply(engine_spec(home, ports))

        def ready() -> bool:
            return FRAMEWORK.probe(HOST, ports, "embedder", 2).ready

        wait_for(ready, bool, vllm.START_SECONDS)
        first = engine.observe(NAME).pid
        check_embeddings(ports, first)
        all_of_first, core = family(first), engine_core(first)
        assert len(all_of_first) >= 3  # the server, its engine, a worker
        os.kill(core, signal.SIGKILL)  # the engine: the server must not stay "ready" without it
        wait_for(ready, lambda still: not still)
        wait_for(lambda: [pid for pid in all_of_first if not gone(pid)], lambda left: not left)
        wait_for(ready, bool, vllm.START_SECONDS)

        second = engine.observe(NAME).pid
        assert second != first
        all_of_second = family(second)
        os.kill(second, signal.SIGKILL)  # the server: what computes must not outlive it
        wait_for(lambda: [pid for pid in all_of_second if not gone(pid)], lambda left: not left)

        wait_for(lambda: engine.observe(NAME).pid, lambda pid: pid not in (0, second))
        all_of_third = family(engine.observe(NAME).pid)
        for pid in all_of_third:  # it hangs altogether: no SIGTERM ends it
            os.kill(pid, signal.SIGSTOP)
        engine.restart(NAME, hangs=True)
        wait_for(lambda: [pid for pid in all_of_third if not gone(pid)], lambda left: not left)

        all_of_fourth = family(wait_for(lambda: engine.observe(NAME).pid, bool))
        engine.stop(NAME)
        wait_for(lambda: [pid for pid in all_of_fourth if not gone(pid)], lambda left: not left)


def test_a_start_that_fails_ends_by_itself_and_its_log_says_why(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for path in vllm.sample_model().iterdir():
        if path.is_file() and path.name != "config.json":
            (model / path.name).symlink_to(path)
    config = (vllm.sample_model() / "config.json").read_text()
    (model / "config.json").write_text(config.replace("LlamaForCausalLM", "LlamaOfMarsForCausalLM"))
    context = vllm.context_for("martian", model, tmp_path / "run")
    server = vllm.spawn(render(context), context.run_dir, context.ports, "martian")
    try:
        assert server.process.wait(vllm.START_SECONDS) != 0
    finally:
        stop(server)
    assert "LlamaOfMarsForCausalLM" in FRAMEWORK.explain(server.log.splitlines())
