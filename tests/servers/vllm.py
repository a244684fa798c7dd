"""Starts the real vLLM for tests, and gives them the sample model that it serves.

`with serve(context_for("chatty", sample_model(), run_dir)) as vllm: ...`. Tests that need the whole stack use the
fixture `live_llm`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from console import home
from datasets.samples.llama import make
from services.clients.probes import openai_health
from services.frameworks.vllm import runtime
from services.frameworks.vllm.launch import render
from services.listeners import Listeners
from services.specs import LaunchContext, Resources, ServiceSpec
from tests.integration.engine_home import family, gone, wait_for
from tests.servers.replica import START_SECONDS as START_SECONDS
from tests.servers.replica import Replica, free_listeners

NAME = "tiny-llama"
"""Name of the sample model, and of the service of the fixture `live_llm`."""
ADAPTER = "pirate"
SHARED = "llama"
"""The service of the fixture `llama`, a server that several files share."""
QUESTION, ANSWER = "What is the capital of France?", "The capital of France is Paris."
PIRATE_ANSWER = "Arr, the capital of France be Paris, matey!"


def runtime_root() -> Path:
    """The vLLM runtime of this checkout (or CONSOLE_RUNTIMES); skips the test where there is none.

    `make test` installs it first and ends with an error when it cannot, except where vLLM has no build for any Python
    of the machine: there, and only there, these tests are skipped.
    """
    runtimes = os.environ.get("CONSOLE_RUNTIMES")
    root = (Path(runtimes) if runtimes else home.CHECKOUT / "var" / "runtimes") / "vllm"
    if trouble := runtime.problem(root):
        pytest.skip(trouble)
    return root


def sample_model() -> Path:
    """tiny-llama, trained once for all tests of this runtime. Only read it."""
    root = runtime_root()
    make.train(root)
    return make.trained(root)


def context_for(
    service: str,
    tree: Path,
    run_dir: Path,
    listeners: Listeners | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> LaunchContext:
    spec = ServiceSpec(
        framework="vllm",
        dataset="samples",
        model_path=tree.name,
        queue="default",
        resources=Resources(1, 2),
        framework_config=config or {},
        env=env or {},
    )
    return LaunchContext(
        service=service,
        tree=tree,
        spec=spec,
        runtime=runtime_root(),
        models=tree,
        run_dir=run_dir,
        listeners=listeners or free_listeners(),
    )


_BODY = re.compile(r"Request \S+ JSON body: (\{.*)$")
_TOKENS = re.compile(r"Request \S+ details: .* prompt_token_ids: (\[[\d, ]*\]), prompt_embeds")


@dataclass(frozen=True)
class Reading:
    """One request as the server's own parser took it: the fields that it was given, and the tokens of its prompt.

    `prompt_tokens` is 0 for a request that was refused before its prompt was read.
    """

    body: dict[str, Any]
    prompt_tokens: int


@dataclass
class RunningVllm(Replica):
    def is_ready(self) -> bool:
        return openai_health.probe(self.listeners.http, self.service).ready

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    def requests_since(self, offset: int) -> list[Reading]:
        """What it has read since its log was `offset` bytes long. Nothing, unless it logs its requests."""
        with self.log_path.open("rb") as log:
            log.seek(offset)
            lines = log.read().decode(errors="replace").split("\n")
        readings: list[Reading] = []
        for line in lines:
            if match := _BODY.search(line):
                readings.append(Reading(json.loads(match[1]), 0))
            elif match := _TOKENS.search(line):
                count = readings[-1].prompt_tokens + len(json.loads(match[1]))
                readings[-1] = replace(readings[-1], prompt_tokens=count)
        return readings


@contextmanager
def serve(context: LaunchContext, *, logs_requests: bool = False) -> Iterator[RunningVllm]:
    """Started as the vLLM framework says, ready, and killed with the block: none of its processes may outlive it.

    `logs_requests`: it writes each request into its log, which the framework forbids.
    """
    launch = render(context)
    if logs_requests:
        env = {**launch.env, "VLLM_LOGGING_LEVEL": "DEBUG"}
        launch = replace(launch, argv=(*launch.argv, "--enable-log-requests"), env=env)
    running = RunningVllm.spawn(launch, context.run_dir, context.listeners, context.service)
    try:
        running.wait_until_ready()
        yield running
    finally:
        processes = family(running.process.pid)
        running.kill()
        wait_for(lambda: [pid for pid in processes if not gone(pid)], lambda left: not left)


def chat_body(model: str = NAME, question: str = QUESTION, **changes: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 40, **changes}


def text_of(answer: Any) -> str:
    """The text of a chat completion, parsed or as JSON."""
    parsed = answer if isinstance(answer, dict) else json.loads(answer)
    content: str = parsed["choices"][0]["message"]["content"]
    return content
