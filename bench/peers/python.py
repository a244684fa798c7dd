"""Two Python servers from the bench's own environment: LiteLLM's proxy, and KServe's server with the digit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import psutil

from bench.targets import servers
from bench.targets.requests import CHAT_SERVICE
from console import home

LITELLM_KEY = "sk-bench-0123456789abcdef"
"""Made up: it opens only a proxy that lives for this bench, on loopback."""
KSERVE = Path(__file__).with_name("kserve_digit.py")


@dataclass(frozen=True)
class Peer:
    port: int
    pids: list[int]
    version: str
    key: str | None = None


def environment() -> Path | None:
    """Where LiteLLM and KServe are installed, or None: `make bench-gateway` prepares it."""
    root = home.from_environment().runtimes / "bench"
    return root if (root / "bin" / "litellm").is_file() else None


def version(root: Path, name: str) -> str:
    (site,) = root.glob("lib/python3*/site-packages")
    versions = [each.version for each in distributions(path=[str(site)]) if each.name == name]
    return versions[0] if versions else "unknown"


@contextmanager
def litellm(root: Path, directory: Path, backend_port: int) -> Iterator[Peer]:
    """The proxy with one worker and one key, no database, in front of an OpenAI server at this port."""
    at = directory / "litellm"
    at.mkdir()
    port = servers.free_ports(1)[0]
    model = {
        "model": f"openai/{CHAT_SERVICE}",
        "api_base": f"http://{servers.HOST}:{backend_port}/v1",
        "api_key": "none",
    }
    config = {
        "model_list": [{"model_name": CHAT_SERVICE, "litellm_params": model}],
        "general_settings": {"master_key": LITELLM_KEY},
        "litellm_settings": {"telemetry": False, "num_retries": 0},
    }
    (at / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    command = (
        str(root / "bin" / "litellm"),
        "--config",
        str(at / "config.yaml"),
        "--host",
        servers.HOST,
        "--port",
        str(port),
        "--num_workers",
        "1",
        "--telemetry",
        "False",
        "--keepalive_timeout",
        "600",  # while others have their turn
    )
    ready = servers.answers(f"http://{servers.HOST}:{port}/health/liveliness")
    with servers.process(command, at, ready, _env(at)) as running:
        yield Peer(port, _family(running.pid), f"LiteLLM {version(root, 'litellm')}", LITELLM_KEY)


@contextmanager
def kserve(root: Path, directory: Path, predictor_port: int | None = None) -> Iterator[Peer]:
    """The server with the model in its own process or, with `predictor_port`, in front of a Triton that has it."""
    at = directory / ("kserve-transformer" if predictor_port else "kserve")
    at.mkdir()
    port = servers.free_ports(1)[0]
    behind = ("--predictor_host", f"{servers.HOST}:{predictor_port}", "--predictor_protocol", "v2")
    command = (
        str(root / "bin" / "python"),
        str(KSERVE),
        "--http_port",
        str(port),
        "--enable_grpc",
        "false",
        "--enable_latency_logging",
        "false",
        *(behind if predictor_port else ()),
    )
    ready = servers.answers(f"http://{servers.HOST}:{port}/v2/health/ready")
    with servers.process(command, at, ready, _env(at)) as running:
        yield Peer(port, _family(running.pid), f"KServe {version(root, 'kserve')}")


def _env(at: Path) -> dict[str, str]:
    """Nothing of this process' own; no calls to other machines for prices or news."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(at),
        "TMPDIR": str(at),
        "PYTHONSAFEPATH": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "NO_PROXY": "*",
    }


def _family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
