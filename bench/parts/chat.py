"""Streamed chat through the gateway against the real vLLM itself: time to the first token, and tokens a second.

Both sides take turns. The model is the sample's, so small that vLLM is as fast as it ever is on this machine: with a
larger model each token takes longer, and the gateway's share of it is smaller.
"""

from __future__ import annotations

import json
import selectors
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.generators.sse_wire import Stream
from bench.measure import Spread
from bench.targets import servers
from bench.targets.population import populate, vllm_service
from bench.targets.requests import CHAT, CHAT_SERVICE, headers
from datasets.samples.llama import make
from services.clients.probes import openai_health
from services.frameworks.vllm import launch, runtime
from services.gateway.snapshot import Endpoint
from services.specs import LaunchContext, Resources, ServiceSpec

TOKENS = 48
STREAMS = (1, 4)
WANTED = 0.9
PATIENCE = 120.0


@dataclass(frozen=True)
class Chat:
    streams: int
    rounds: int
    first_ms: Mapping[str, Spread]
    """Target -> median of the time to the first token, in each round."""
    tokens: Mapping[str, Spread]
    """Target -> tokens a second of all streams together."""
    first_ratio: Spread
    tokens_ratio: Spread

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def problem(runtimes: Path) -> str | None:
    """Why vLLM cannot be measured here."""
    return runtime.problem(runtimes / "vllm")


@contextmanager
def vllm(root: Path, directory: Path) -> Iterator[Endpoint]:
    """One replica with the sample model, as the product starts it. `root` is the runtime."""
    make.train(root)
    tree = make.trained(root)
    run_dir = directory / "vllm"
    listeners = servers.free_listeners()
    spec = ServiceSpec(
        framework="vllm", dataset="samples", model_path="tiny-llama", queue="default", resources=Resources(1, 2)
    )
    rendered = launch.render(LaunchContext(CHAT_SERVICE, tree, spec, root, tree, run_dir, listeners))
    servers.materialise(rendered, run_dir)

    def ready() -> bool:
        return openai_health.probe(listeners.http, CHAT_SERVICE).ready

    with servers.process(rendered.argv, run_dir, ready, rendered.env, patience=PATIENCE * 3):
        yield Endpoint(listeners.http, listeners.grpc)


def measure_chat(root: Path, directory: Path, *, rounds: int) -> list[Chat]:
    with ExitStack() as stack:
        replica = stack.enter_context(vllm(root, directory))
        people = populate([vllm_service(CHAT_SERVICE, replica)], services=1, keys_=100, replica=replica)
        door = stack.enter_context(servers.gateway(directory / "chat", people.snapshot))
        servers.wait_for_service(door.port, CHAT, people.key, seconds=PATIENCE)
        targets = {"direct": (replica.http.port, None), "gateway": (door.port, people.key)}
        return [compare(targets, count, rounds) for count in STREAMS]


def compare(targets: Mapping[str, tuple[int, str | None]], streams: int, rounds: int) -> Chat:
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
    for number in range(-1, rounds):
        for name in list(targets)[:: 1 if number % 2 == 0 else -1]:
            sample = one_round(*targets[name], streams)
            if number >= 0:
                samples[name].append(sample)
    pairs = list(zip(samples["direct"], samples["gateway"], strict=True))
    return Chat(
        streams,
        rounds,
        {name: Spread.of([first for first, _ in each]) for name, each in samples.items()},
        {name: Spread.of([rate for _, rate in each]) for name, each in samples.items()},
        Spread.of([through[0] / straight[0] for straight, through in pairs]),
        Spread.of([through[1] / straight[1] for straight, through in pairs]),
    )


def one_round(port: int, key: str | None, streams: int) -> tuple[float, float]:
    """Median time to the first token in ms, and tokens a second, of so many streams begun together."""
    payload = {
        "model": CHAT_SERVICE,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "stream": True,
        "temperature": 0,
        "ignore_eos": True,
        "max_tokens": 0,
    }
    body = json.dumps(payload).replace('"max_tokens": 0', '"max_tokens": %d').encode()
    with ExitStack() as stack, selectors.DefaultSelector() as poll:
        open_ = []
        for _ in range(streams):
            stream = Stream(servers.HOST, port, CHAT.path, headers(CHAT, key), body)
            stack.callback(stream.close)
            poll.register(stream.sock, selectors.EVENT_READ, stream)
            open_.append(stream)
        began = time.perf_counter()
        for stream in open_:
            stream.start(TOKENS)
        first: dict[Stream, float] = {}
        tokens = 0
        while not all(stream.done for stream in open_):
            events = poll.select(PATIENCE)
            if not events:
                raise RuntimeError(f"No token in {PATIENCE:g} s.")
            for selected, _ in events:
                stream = selected.data
                data = stream.sock.recv(65_536)
                if not data:
                    raise RuntimeError("A stream was cut.")
                new_tokens = sum(1 for event in stream.feed(data) if has_token(event))
                if new_tokens:
                    first.setdefault(stream, time.perf_counter() - began)
                tokens += new_tokens
        took = time.perf_counter() - began
    times = sorted(first.values())
    return times[len(times) // 2] * 1e3, tokens / took


def has_token(event: bytes) -> bool:
    text = event.removeprefix(b"data: ")
    if not text.startswith(b"{"):
        return False
    choices = json.loads(text)["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


def table(rows: list[Chat]) -> str:
    lines = [
        "| streams | first token ms, direct | gateway | ratio (range) | tokens/s, direct | gateway | ratio (range) |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        cells = (
            f"{row.first_ms['direct'].median:.1f}",
            f"{row.first_ms['gateway'].median:.1f}",
            _range(row.first_ratio),
            f"{row.tokens['direct'].median:.0f}",
            f"{row.tokens['gateway'].median:.0f}",
            _range(row.tokens_ratio),
        )
        lines.append(f"| {row.streams} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _range(spread: Spread) -> str:
    return f"**{spread.median:.2f}** ({spread.low:.2f} to {spread.high:.2f})"


def verdict(rows: list[Chat]) -> list[str]:
    lines = []
    for row in rows:
        good = row.tokens_ratio.median >= WANTED and row.first_ratio.median <= 1 / WANTED
        word = "as wanted" if good else "TOO LITTLE"
        lines.append(
            f"Streamed chat, {row.streams} at once: first token after {row.first_ratio.median:.2f} of vLLM's own time,"
            f" {row.tokens_ratio.median:.2f} of its tokens a second ({word}; wanted within 10 %)."
        )
    return lines
